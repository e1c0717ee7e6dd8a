#pragma once

#include "qiao/common/async/event_loop.h"
#include "qiao/drivers/postgres/structure/compare.h"
#include "qiao/drivers/postgres/structure/create.h"
#include "qiao/drivers/postgres/structure/read.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <set>

// What the tests of this folder share: two empty databases, and PostgreSQL's own pg_dump as the
// oracle. What it says of the source's schema it must say of the target's.

namespace qiao::drivers::postgres {

inline std::string url_of(int server, const std::string& database) {
    const auto* base = std::getenv(fmt::format("QIAO_PG_{}_URL", server).c_str());
    EXPECT_NE(base, nullptr) << "run by: tools/servers.py run --postgres 2 -- …";
    const std::string text = base == nullptr ? "" : base;
    return text.substr(0, text.rfind('/') + 1) + database;
}

inline std::string output_of(const std::string& command) {
    std::string output;
    auto* pipe = popen(command.c_str(), "r");
    std::array<char, 4096> buffer{};
    while (const auto got = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
        output.append(buffer.data(), got);
    }
    EXPECT_EQ(pclose(pipe), 0) << command;
    return output;
}

/// A schema as pg_dump tells it, without what is never brought and without comments and blanks.
inline std::string dump(const std::string& url, const std::string& options = "") {
    return output_of(fmt::format(
        "pg_dump --schema-only --no-owner --no-privileges --no-publications "
        "--exclude-schema=qiao{} '{}'"
        " | grep -Ev '^(--|$|SET |SELECT pg_catalog.set_config|.(un)?restrict )'",
        options,
        url
    ));
}

/// pg_dump reads servers of its own version and older ones.
inline bool can_dump(const Connection& connection) {
    const auto version = output_of("pg_dump --version | sed 's/[^0-9]*//; s/[^0-9].*//'");
    return connection.server_version() / 10000 <= std::stoi(version);
}

inline std::multiset<std::string> sql_of(const Structure& structure) {
    std::multiset<std::string> list;
    for (const auto& statement : structure.statements) {
        list.insert(statement.sql);
    }
    return list;
}

inline Task<Result<std::unique_ptr<Connection>>> open(
    EventLoop& loop, DataSourceUrl url, ConnectOptions options, StopSignal& stop
) {
    const Runtime runtime{loop, loop, loop};
    co_return co_await Connection::open(runtime, url, std::move(options), stop);
}

class StructureTest : public testing::Test {
protected:
    void SetUp() override {
        const std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
        std::string database = "structure_";
        for (const char c : name) {
            database += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        }
        for (const int server : {0, 1}) {
            auto admin = connect(url_of(server, "postgres"));
            must(*admin, "DROP DATABASE IF EXISTS " + database);
            must(*admin, "CREATE DATABASE " + database + " TEMPLATE template0");
        }
        source_url_ = url_of(0, database);
        target_url_ = url_of(1, database);
        source_ = connect(source_url_);
        target_ = connect(target_url_);
    }

    std::unique_ptr<Connection> connect(const std::string& text) {
        auto url = DataSourceUrl::parse(text);
        EXPECT_TRUE(url);
        ConnectOptions options;
        options.settings = target_settings();
        auto connection = loop_.run(open(loop_, *std::move(url), std::move(options), stop_));
        EXPECT_TRUE(connection) << connection.error().to_string();
        return connection ? *std::move(connection) : nullptr;
    }

    void must(Connection& connection, const std::string& sql) {
        const auto done = loop_.run(connection.execute(sql));
        ASSERT_TRUE(done) << done.error().to_string() << "\n" << sql;
    }

    std::string ask(Connection& connection, const std::string& sql) {
        auto rows = loop_.run(connection.query(sql));
        EXPECT_TRUE(rows) << rows.error().to_string();
        return rows && rows->size() > 0 ? std::string(rows->text(0, 0)) : "";
    }

    std::vector<TablePair> all_tables() {
        auto rows = loop_.run(source_->query(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n "
            "ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition "
            "AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2"
        ));
        EXPECT_TRUE(rows);
        std::vector<TablePair> pairs;
        for (size_t i = 0; i < rows->size(); ++i) {
            const model::TableName name{
                std::string(rows->text(i, 0)), std::string(rows->text(i, 1))
            };
            pairs.push_back({name, name});
        }
        return pairs;
    }

    /// Reads, sends over the link's encoding, and gives what the target's agent would have.
    Structure read(std::vector<TablePair> tables) {
        auto structure = loop_.run(read_structure(*source_, std::move(tables)));
        EXPECT_TRUE(structure) << structure.error().to_string();
        if (!structure) {
            return {};
        }
        auto again = Structure::decode(structure->encode());
        EXPECT_TRUE(again);
        EXPECT_EQ(*again, *structure);
        return *again;
    }

    CreateReport create(const Structure& structure, StructurePhase phase) {
        auto report = loop_.run(create_structure(*target_, structure, phase));
        EXPECT_TRUE(report) << report.error().to_string();
        if (!report) {
            return {};
        }
        for (const auto& failed : report->failed) {
            ADD_FAILURE() << failed.object << ": " << failed.error << "\n" << failed.sql;
        }
        return *std::move(report);
    }

    Structure bring(std::vector<TablePair> tables) {
        auto structure = read(std::move(tables));
        create(structure, StructurePhase::BeforeLoad);
        create(structure, StructurePhase::AfterLoad);
        return structure;
    }

    std::vector<Finding> compare(std::vector<TablePair> tables) {
        auto findings = loop_.run(compare_structure(*source_, *target_, std::move(tables)));
        EXPECT_TRUE(findings) << findings.error().to_string();
        return findings ? *findings : std::vector<Finding>();
    }

    /// Makes a schema, brings all of it, and holds both dumps to be equal.
    Structure expect_equal_dumps(const std::string& schema) {
        must(*source_, "SET search_path = public;" + schema + ";SET search_path = ''");
        auto structure = bring(all_tables());
        for (const auto& entry : structure.left_out) {
            EXPECT_EQ(entry.kind, "owner") << entry.object << ": " << entry.reason_en;
        }
        if (can_dump(*source_)) {
            EXPECT_EQ(dump(target_url_), dump(source_url_));
        }
        const auto again = loop_.run(read_structure(*target_, structure.tables));
        EXPECT_TRUE(again) << again.error().to_string();
        EXPECT_EQ(sql_of(*again), sql_of(structure));
        for (const auto& finding : compare(all_tables())) {
            ADD_FAILURE() << finding.subject << ": " << finding.message_en;
        }
        return structure;
    }

    EventLoop loop_;
    StopSignal stop_;
    std::string source_url_;
    std::string target_url_;
    std::unique_ptr<Connection> source_;
    std::unique_ptr<Connection> target_;
};

}  // namespace qiao::drivers::postgres
