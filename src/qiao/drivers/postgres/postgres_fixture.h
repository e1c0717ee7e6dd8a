#pragma once

#include "qiao/common/async/event_loop.h"
#include "qiao/common/async/stop.h"
#include "qiao/drivers/postgres/connection.h"
#include "qiao/drivers/url.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

namespace qiao::drivers::postgres {

/// A database of its own for each test, on the server of QIAO_PG_0_URL. For *_itest.cpp only.
class PostgresTest : public ::testing::Test {
protected:
    void SetUp() override {
        const char* text = std::getenv("QIAO_PG_0_URL");
        ASSERT_NE(
            text, nullptr
        ) << "QIAO_PG_0_URL is not set: run by tools/servers.py run --postgres 1 -- …";
        auto parsed = DataSourceUrl::parse(text);
        ASSERT_TRUE(parsed) << parsed.error().to_string();
        server_ = *std::move(parsed);
        static int number = 0;
        url_ = server_;
        url_.database = fmt::format("t_{}_{}", ::getpid(), ++number);
        const auto admin = open(server_);
        ASSERT_TRUE(admin);
        ASSERT_TRUE(loop_.run(admin->execute("CREATE DATABASE " + url_.database)));
        sql_ = open(url_);
        ASSERT_TRUE(sql_);
    }

    void TearDown() override {
        sql_.reset();
        if (!url_.database.empty()) {
            const auto admin = open(server_);
            const auto sql = fmt::format("DROP DATABASE IF EXISTS {} WITH (FORCE)", url_.database);
            EXPECT_TRUE(admin && loop_.run(admin->execute(sql)));
        }
    }

    Runtime runtime() { return {loop_, loop_, loop_}; }

    std::unique_ptr<Connection> open(const DataSourceUrl& url, ConnectOptions options = {}) {
        auto connection = loop_.run(Connection::open(runtime(), url, options, stop_));
        EXPECT_TRUE(connection) << connection.error().to_string();
        return connection ? *std::move(connection) : nullptr;
    }

    void run(const std::string& statements) {
        const auto done = loop_.run(sql_->execute(statements));
        ASSERT_TRUE(done) << done.error().to_string() << "\nin " << statements.substr(0, 500);
    }

    /// Rows as `a|b` lines.
    std::vector<std::string> lines(const std::string& query) {
        auto rows = loop_.run(sql_->query(query));
        EXPECT_TRUE(rows) << rows.error().to_string() << "\nin " << query;
        std::vector<std::string> all;
        for (size_t i = 0; rows && i < rows->size(); ++i) {
            std::string line;
            for (size_t j = 0; j < rows->column_count(); ++j) {
                line += j == 0 ? "" : "|";
                line += rows->is_null(i, j) ? "<null>" : std::string(rows->text(i, j));
            }
            all.push_back(std::move(line));
        }
        return all;
    }

    std::string value(const std::string& query) {
        const auto all = lines(query);
        return all.size() == 1 ? all.front() : fmt::format("<{} rows>", all.size());
    }

    EventLoop loop_;
    StopSignal stop_;
    DataSourceUrl server_;
    DataSourceUrl url_;
    std::unique_ptr<Connection> sql_;  ///< the test's own session
};

}  // namespace qiao::drivers::postgres
