#include "qiao/capture/postgres/internal/source_fixture.h"
#include "qiao/capture/timestamp_check.h"
#include "qiao/drivers/postgres/row_query.h"
#include "qiao/drivers/postgres/structure/create.h"

namespace qiao::capture::postgres {
namespace {

/// Applies tolerant changes to rows by their first column.
class KeyedTarget final : public CommittedSink {
public:
    void schema(const model::TableSchema&) override {}

    void begin(const model::TransactionHead&) override { pending_.clear(); }

    void change(const model::Change& change) override {
        const bool gone = change.op == model::Op::Delete;
        auto row = internal::RebuildingSink::row_of(gone ? change.old_row : change.new_row);
        auto key = *row.at(0);
        pending_.emplace_back(std::move(key), gone ? internal::Row() : std::move(row));
    }

    void commit(const model::TransactionHead& head) override {
        last = head.commit;
        for (const auto& [key, row] : pending_) {
            rows.erase(key);
            if (!row.empty()) {
                rows[key] = row;
            }
        }
    }

    void heartbeat(const Heartbeat& beat) override { last = beat.position; }

    void progress(const model::SourcePosition&) override {}

    bool full() const override { return false; }

    std::multiset<internal::Row> all() const {
        std::multiset<internal::Row> result;
        for (const auto& [key, row] : rows) {
            result.insert(row);
        }
        return result;
    }

    std::map<std::string, internal::Row> rows;
    model::SourcePosition last;

private:
    std::vector<std::pair<std::string, internal::Row>> pending_;
};

class PostgresTimestamps : public internal::SourceFixture {
protected:
    void TearDown() override {
        if (timed_) {
            loop_.run(timed_->close());
            timed_.reset();
        }
        rows_.reset();
        internal::SourceFixture::TearDown();
    }

    void start_timed(
        const char* table, std::vector<std::string> keys, const std::string& zone = ""
    ) {
        rows_ = drivers::postgres::make_row_database(runtime(), url_, {zone}, stop_);
        timed_options_.table = {{"public", table}, "at", std::move(keys), {}};
        timed_options_.every = std::chrono::milliseconds(1);
        timed_options_.page_rows = 50;
        auto progress = std::make_shared<TimestampProgress>();
        progress->begin_at = "";
        timed_ = std::make_unique<TimestampSource>(timed_options_, *rows_, loop_, loop_, progress);
        const auto started = loop_.run(timed_->start(target_.last));
        ASSERT_TRUE(started) << started.error().to_string();
    }

    void poll() {
        const auto pumped = loop_.run(timed_->pump(target_, stop_));
        ASSERT_TRUE(pumped) << pumped.error().to_string();
    }

    TimestampOptions timed_options_;
    std::unique_ptr<drivers::RowDatabase> rows_;
    std::unique_ptr<TimestampSource> timed_;
    KeyedTarget target_;
};

// Spec: H-28, H-30, H-31
TEST_F(PostgresTimestamps, EveryKindOfTimeColumnBringsLateEqualAndFlaggedRowsExactly) {
    timed_options_.flag = "valid";
    timed_options_.flag_values = {{"0", RowValidity::Deleted}};
    for (const std::string type :
         {"timestamp", "timestamptz", "text", "timestamp(0)", "varchar(30)"}) {
        const bool text = type == "text" || type == "varchar(30)";
        const std::string now = text ? "to_char(now(), 'YYYY-MM-DD HH24:MI:SS')" : "now()";
        sql("CREATE TABLE t (k int, k2 text, at " + type +
            ", valid int, v text, PRIMARY KEY (k, k2));"
            "INSERT INTO t SELECT g, '甲' || g, " +
            now + ", 1, 'first' FROM generate_series(1, 300) g");
        target_ = {};
        start_timed("t", {"k", "k2"});
        const auto writer = open(url_);
        for (int round = 0; round < 12; ++round) {
            const auto n = std::to_string(round);
            run(*writer, "BEGIN; UPDATE t SET at = " + now + ", v = 'late' WHERE k % 12 = " + n);
            sql("UPDATE t SET at = " + now + ", v = 'on time " + n + "' WHERE k % 12 = " + n +
                " - 1");
            sql("UPDATE t SET at = " + now + ", valid = 0 WHERE k = 20 * " + n);
            poll();
            if (round % 4 == 1) {
                start_timed("t", {"k", "k2"});
            }
            run(*writer, "COMMIT");
            poll();
        }
        // Stamps rounded to seconds may lie in the future for half of one.
        const auto wanted = select("SELECT k, k2, at, valid, v FROM t WHERE valid = 1");
        const auto deadline = loop_.now() + std::chrono::seconds(30);
        while (target_.all() != wanted && loop_.now() < deadline) {
            poll();
        }
        EXPECT_EQ(target_.all(), wanted) << type;
        sql("DROP TABLE t");
    }
}

TEST_F(PostgresTimestamps, AViewAndADateColumnAreReadToo) {
    sql("CREATE TABLE base (k int PRIMARY KEY, d date, hidden text);"
        "INSERT INTO base SELECT g, current_date - g % 5, 'h' FROM generate_series(1, 120) g;"
        "CREATE VIEW face AS SELECT k, d AS at FROM base WHERE k > 20");
    start_timed("face", {"k"});
    poll();
    EXPECT_EQ(target_.all(), select("SELECT * FROM face"));
}

/// The clock that the stamps were taken from decides what is the future.
TEST_F(PostgresTimestamps, StampsWithoutAZoneAreJudgedInTheDatabasesOwnZone) {
    sql("ALTER DATABASE " + database_name_ + " SET timezone = 'Asia/Shanghai'");
    sql("CREATE TABLE t (k int PRIMARY KEY, at timestamp);"
        "INSERT INTO t VALUES (1, now() AT TIME ZONE 'Asia/Shanghai')");
    start_timed("t", {"k"});
    poll();
    EXPECT_EQ(target_.rows.size(), 1U);
    target_ = {};
    start_timed("t", {"k"}, "UTC");
    poll();
    EXPECT_EQ(target_.rows.size(), 0U) << "eight hours ahead of UTC";
}

// Spec: H-30
TEST_F(PostgresTimestamps, ATransactionOpenForLongerThanTheOverlapIsWaitedFor) {
    timed_options_.overlap = std::chrono::milliseconds(1);
    sql("CREATE TABLE t (k int PRIMARY KEY, at timestamptz); INSERT INTO t VALUES (1, now())");
    start_timed("t", {"k"});
    poll();
    const auto late = open(url_);
    run(*late, "BEGIN; INSERT INTO t VALUES (2, now())");
    for (int round = 0; round < 3; ++round) {
        run(*late, "SELECT pg_sleep(1.1)");
        sql("INSERT INTO t VALUES (" + std::to_string(10 + round) + ", now())");
        poll();
    }
    run(*late, "COMMIT");
    poll();
    EXPECT_EQ(target_.all(), select("SELECT k, at FROM t"));
    EXPECT_EQ(target_.rows.size(), 5U);
}

// Spec: H-28, H-31, R-34
TEST_F(PostgresTimestamps, ABulkReadHasTheRowsOfAViewButDeletedAndFutureOnes) {
    sql("CREATE TYPE mood AS ENUM ('a', 'b');"
        "CREATE DOMAIN little AS varchar(7);"
        "CREATE TABLE base (k int PRIMARY KEY, at timestamp, valid char(3), flag boolean, m mood,"
        " n little, x int[]);"
        "INSERT INTO base SELECT g, now(), CASE g % 3 WHEN 0 THEN 'D' WHEN 1 THEN 'Y' END,"
        " g % 4 = 0, 'b', E'\\\\ \\t', ARRAY[g] FROM generate_series(1, 3000) g;"
        "INSERT INTO base VALUES (0, '2999-01-01', 'Y', true, 'a', '', NULL);"
        "CREATE VIEW face AS SELECT * FROM base");
    rows_ = drivers::postgres::make_row_database(runtime(), url_, {}, stop_);
    const drivers::TimedTable table{{"public", "face"}, "at", {"k"}, {}};
    const auto count = [&](drivers::LeftOutRows left_out, const std::string& wanted) {
        auto query = *loop_.run(rows_->connect());
        auto now = loop_.run(query->now(table));
        ASSERT_TRUE(loop_.run(query->begin_bulk(table, now->stamp, std::move(left_out))));
        std::string text;
        uint64_t rows = 0;
        for (bool last = false; !last;) {
            const auto bulk = loop_.run(query->next_bulk(1000, 1U << 20U, stop_));
            ASSERT_TRUE(bulk) << bulk.error().to_string();
            text += as_text(bulk->rows);
            rows += bulk->count;
            last = bulk->last;
        }
        EXPECT_EQ(rows, static_cast<uint64_t>(std::ranges::count(text, '\n')));
        const auto expected = select("SELECT count(*) FROM face WHERE at < now() AND " + wanted);
        EXPECT_EQ(std::to_string(rows), **expected.begin()->begin());
    };
    count({}, "true");
    count({"valid", {"D"}}, "valid IS DISTINCT FROM 'D'");
    count({"flag", {"f"}}, "flag");

    auto query = *loop_.run(rows_->connect());
    auto now = loop_.run(query->now(table));
    ASSERT_TRUE(loop_.run(query->begin_bulk(table, now->stamp, {})));
    const auto large = loop_.run(query->next_bulk(1000, 5, stop_));
    ASSERT_TRUE(large) << large.error().to_string();
    EXPECT_TRUE(large->rows.empty()) << "each has a time of more than five characters";
    ByteReader in(large->withheld);
    for (uint64_t i = 0; i < large->count; ++i) {
        const auto row = model::Tuple::parse_front(in);
        ASSERT_TRUE(row);
        EXPECT_EQ(row->values()[0].kind, model::ValueKind::Text);
        EXPECT_EQ(row->values()[1].kind, model::ValueKind::Withheld);
    }
    EXPECT_TRUE(in.at_end());
    EXPECT_GT(large->count, 0U);

    query = *loop_.run(rows_->connect());
    const auto structure = loop_.run(query->structure(table, {"other", "people"}));
    ASSERT_TRUE(structure) << structure.error().to_string();
    ASSERT_EQ(structure->left_out.size(), 1U) << "the enumeration";
    EXPECT_EQ(
        structure->statements.back().sql,
        "CREATE TABLE \"other\".\"people\" (\n"
        "    \"k\" integer NOT NULL,\n"
        "    \"at\" timestamp without time zone,\n"
        "    \"valid\" character(3),\n"
        "    \"flag\" boolean,\n"
        "    \"m\" text,\n"
        "    \"n\" character varying(7),\n"
        "    \"x\" integer[],\n"
        "    PRIMARY KEY (\"k\")\n)"
    );
    // Killed before its load, the next run makes it again.
    for (int i = 0; i < 2; ++i) {
        const auto made = loop_.run(drivers::postgres::create_structure(
            *app_, *structure, drivers::StructurePhase::BeforeLoad
        ));
        EXPECT_TRUE(made) << made.error().to_string();
    }
}

// Spec: H-29, H-30
TEST_F(PostgresTimestamps, ProbingFindsWhatTheDataBreaks) {
    sql("CREATE TABLE good (k int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), valid text);"
        "CREATE INDEX ON good (at); INSERT INTO good SELECT generate_series(1, 5);"
        "CREATE TABLE bad (k int, at text); INSERT INTO bad VALUES (1, NULL), (1, '31.1.2026'),"
        " (NULL, '2999-01-01 00:00:00'), (2, '2020-01-01 00:00:00')");
    rows_ = drivers::postgres::make_row_database(runtime(), url_, {}, stop_);
    auto query = loop_.run(rows_->connect());
    ASSERT_TRUE(query) << query.error().to_string();
    const auto facts = loop_.run((*query)->probe({{"public", "bad"}, "at", {"k"}, {}}));
    ASSERT_TRUE(facts) << facts.error().to_string();
    EXPECT_EQ(facts->rows, 4U);
    EXPECT_EQ(facts->stamps_null, 1U);
    EXPECT_EQ(facts->stamps_malformed, 1U);
    EXPECT_GE(facts->stamps_future, 1U);
    EXPECT_EQ(facts->keys_null, 1U);
    EXPECT_EQ(facts->keys_repeated, 1U);
    EXPECT_FALSE(facts->stamp_indexed);
    TimestampOptions options;
    options.table = {{"public", "good"}, "at", {"k"}, {}};
    options.flag = "valid";
    const auto findings = loop_.run(check_timed_table(**query, options));
    ASSERT_TRUE(findings) << findings.error().to_string();
    ASSERT_EQ(findings->size(), 1U);
    EXPECT_EQ((*findings)[0].verdict, drivers::Finding::Verdict::Good);
}

}  // namespace
}  // namespace qiao::capture::postgres
