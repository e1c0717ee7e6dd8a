#pragma once

#include "qiao/drivers/postgres/catalogue.h"
#include "qiao/drivers/postgres/postgres_fixture.h"
#include "qiao/drivers/postgres/target_session.h"

#include <memory>
#include <string>
#include <vector>

namespace qiao::drivers::postgres {

/// Source tables in schema `a`, and a target session that writes to tables in schema `b`.
/// For *_itest.cpp only.
class WriteTest : public PostgresTest {
protected:
    void SetUp() override {
        PostgresTest::SetUp();
        if (HasFatalFailure()) {
            return;
        }
        run("CREATE TYPE public.mood AS ENUM ('sad', 'ok', 'very happy');"
            "CREATE DOMAIN public.email AS text CHECK (VALUE LIKE '%@%');"
            "CREATE TYPE public.pair AS (a int, b text); CREATE EXTENSION citext SCHEMA public;"
            "CREATE SCHEMA a; CREATE SCHEMA b");
        TargetOptions options;
        options.triggers = TargetOptions::Triggers::On;
        target_ = std::make_unique<PostgresTarget>(runtime(), url_, options, stop_);
        auto session = loop_.run(target_->connect());
        ASSERT_TRUE(session) << session.error().to_string();
        session_ = *std::move(session);
    }

    void TearDown() override {
        session_.reset();
        PostgresTest::TearDown();
    }

    model::TableSchema schema_of(const std::string& schema, const std::string& table = "t") {
        auto found = loop_.run(read_table(*sql_, {schema, table}));
        EXPECT_TRUE(found) << found.error().to_string();
        return found->schema;
    }

    TargetTable describe(const std::string& table = "t") {
        auto found = loop_.run(session_->describe({"b", table}));
        EXPECT_TRUE(found) << found.error().to_string();
        return found ? *std::move(found) : TargetTable{};
    }

    WriteResult write(
        const model::TableSchema& schema,
        const TargetTable& target,
        model::Op op,
        const std::vector<model::Change>& changes,
        WriteMode mode
    ) {
        std::vector<const model::Change*> list;
        for (const auto& change : changes) {
            list.push_back(&change);
        }
        auto result =
            loop_.run(session_->write({&schema, &target, op, list, checks_old_rows_}, mode));
        EXPECT_TRUE(result) << result.error().to_string();
        return result ? *std::move(result) : WriteResult{};
    }

    void begin() { ASSERT_TRUE(loop_.run(session_->begin())); }

    void commit() {
        const auto outcome = loop_.run(session_->commit());
        ASSERT_EQ(outcome.kind, CommitOutcome::Kind::Committed)
            << (outcome.error ? outcome.error->to_string() : "");
    }

    std::unique_ptr<PostgresTarget> target_;
    std::unique_ptr<TargetSession> session_;
    bool checks_old_rows_ = false;
};

inline model::Tuple tuple(const Bytes& bytes) { return *model::Tuple::parse(bytes); }

}  // namespace qiao::drivers::postgres
