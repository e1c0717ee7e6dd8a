#include "qiao/drivers/postgres/postgres_fixture.h"
#include "qiao/drivers/postgres/target_session.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace qiao::drivers::postgres {
namespace {

class OwnTablesTest : public PostgresTest {
protected:
    void SetUp() override {
        PostgresTest::SetUp();
        target_ = std::make_unique<PostgresTarget>(runtime(), url_, TargetOptions{}, stop_);
    }

    std::unique_ptr<TargetSession> prepared() {
        auto made = loop_.run(target_->connect());
        EXPECT_TRUE(made) << made.error().to_string();
        const auto done = loop_.run((*made)->prepare());
        EXPECT_TRUE(done) << done.error().to_string();
        return *std::move(made);
    }

    StreamId stream_{};
    std::unique_ptr<PostgresTarget> target_;
};

// Of a program that knew nothing of doubted_at, and may go on.
// Spec: R-52
TEST_F(OwnTablesTest, TakesOverTheTablesOfAnEarlierProgram) {
    const auto one = prepared();
    const TableState live{{"public", "t"}, 3, TableStatus::Live, {}};
    run("ALTER TABLE qiao.table_state DROP COLUMN doubted_at");
    const auto write = [&](const char* name) {
        run(fmt::format(
            "INSERT INTO qiao.table_state (stream, schema_name, table_name, generation, status, "
            "joined_at, joined_at_text, note) VALUES ('\\x{}', 'public', '{}', 3, 2, "
            "'\\x0000000000', 'none', '')",
            stream_.to_string(),
            name
        ));
    };
    write("t");
    EXPECT_THAT(*loop_.run(one->table_states(stream_)), testing::ElementsAre(live));
    EXPECT_EQ(*loop_.run(one->table_state(stream_, live.table)), live);
    const auto two = prepared();
    auto doubted = live;
    doubted.doubted_at = model::SourcePosition::lsn(1, 2, 3);
    ASSERT_TRUE(loop_.run(two->begin()));
    ASSERT_TRUE(loop_.run(two->save_table_state(stream_, doubted)));
    ASSERT_EQ(loop_.run(two->commit()).kind, CommitOutcome::Kind::Committed);
    EXPECT_EQ(*loop_.run(one->table_state(stream_, live.table)), doubted);
    write("u");
    EXPECT_TRUE((*loop_.run(two->table_state(stream_, {"public", "u"})))->doubted_at.empty());
}

TEST_F(OwnTablesTest, SaysWhatTheOwnerOfAnEarlierProgramsTablesHasToDo) {
    prepared();
    run("CREATE ROLE writer LOGIN PASSWORD 'pw'; GRANT USAGE ON SCHEMA qiao TO writer; "
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA qiao TO writer; "
        "ALTER TABLE qiao.table_state DROP COLUMN doubted_at");
    auto writer = url_;
    writer.user = "writer";
    writer.password = Secret(std::string_view("pw"));
    PostgresTarget target(runtime(), writer, {}, stop_);
    auto made = loop_.run(target.connect());
    ASSERT_TRUE(made) << made.error().to_string();
    const auto refused = loop_.run((*made)->prepare());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), ErrorCode::DbPrivilege);
    run(refused.error().detail());
    EXPECT_TRUE(loop_.run((*made)->prepare()));
}

}  // namespace
}  // namespace qiao::drivers::postgres
