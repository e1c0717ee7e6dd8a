// Reading a part of a table: two databases, of which the second has another encoding and, where
// there is one, another server, choose the same rows. Spec: R-36

#include "qiao/drivers/postgres/postgres_fixture.h"
#include "qiao/drivers/postgres/table_reader.h"

#include <gmock/gmock.h>

#include <algorithm>

namespace qiao::drivers::postgres {
namespace {

using Form = CanonicalColumn::Form;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class PartTest : public PostgresTest {
protected:
    void SetUp() override {
        PostgresTest::SetUp();
        if (HasFatalFailure()) {
            return;
        }
        const char* second = std::getenv("QIAO_PG_1_URL");
        other_server_ = second == nullptr ? server_ : *DataSourceUrl::parse(second);
        other_url_ = other_server_;
        other_url_.database = url_.database + "_other";
        const auto admin = open(other_server_);
        ASSERT_TRUE(
            admin && loop_.run(admin->execute(fmt::format(
                         "CREATE DATABASE {} ENCODING 'EUC_CN' LC_COLLATE 'C' LC_CTYPE 'C' "
                         "TEMPLATE template0",
                         other_url_.database
                     )))
        );
        other_sql_ = open(other_url_);
        reader_ = *loop_.run(PostgresTableReader::open(runtime(), url_, stop_));
        other_reader_ = *loop_.run(PostgresTableReader::open(runtime(), other_url_, stop_));
    }

    void TearDown() override {
        reader_.reset();
        other_reader_.reset();
        other_sql_.reset();
        if (const auto admin = open(other_server_)) {
            const auto drop = "DROP DATABASE IF EXISTS " + other_url_.database + " WITH (FORCE)";
            EXPECT_TRUE(loop_.run(admin->execute(drop)));
        }
        PostgresTest::TearDown();
    }

    void run_on_both(const std::string& statements) {
        run(statements);
        const auto done = loop_.run(other_sql_->execute(statements));
        ASSERT_TRUE(done) << done.error().to_string();
    }

    using Rows = std::vector<std::string>;

    Rows read(TableReader& reader, const std::string& column, const TablePart& part) {
        Rows rows;
        const TableReader::Visit visit = [&rows](const model::Tuple& row) {
            const auto value = row.values().at(0);
            rows.emplace_back(value.kind == model::ValueKind::Null ? "NULL" : as_text(value.bytes));
        };
        const auto done =
            loop_.run(reader.scan(kTable, {{column, Form::Text}}, part, visit, stop_));
        EXPECT_TRUE(done) << done.error().to_string();
        const auto count = loop_.run(reader.count(kTable, part));
        EXPECT_TRUE(count) << count.error().to_string();
        EXPECT_EQ(count.value_or(0), rows.size());
        std::ranges::sort(rows);
        return rows;
    }

    /// The values of `column` in the part, which are the same in both databases.
    Rows read_both(const std::string& column, const TablePart& part) {
        auto rows = read(*reader_, column, part);
        EXPECT_EQ(read(*other_reader_, column, part), rows);
        return rows;
    }

    static TablePart sample(uint32_t share, uint32_t seed, std::vector<std::string> columns) {
        TablePart part;
        part.sample = {share, seed, std::move(columns)};
        return part;
    }

    static TablePart range(
        const std::string& column, std::optional<std::string> from, std::optional<std::string> to
    ) {
        TablePart part;
        part.range = {column, std::move(from), std::move(to)};
        return part;
    }

    Result<RowRange> settle(RangeWanted wanted) {
        return loop_.run(reader_->settle_range(kTable, std::move(wanted)));
    }

    inline static const model::TableName kTable{"public", "t"};

    DataSourceUrl other_server_, other_url_;
    std::unique_ptr<Connection> other_sql_;
    std::unique_ptr<TableReader> reader_, other_reader_;
};

TEST_F(PartTest, ASampleByANumberIsTheSameRowsInBothAndAboutItsShare) {
    run_on_both(
        "CREATE TABLE public.t (id int PRIMARY KEY, x text);"
        "INSERT INTO public.t SELECT n, 'x' FROM generate_series(1, 20000) n"
    );
    const auto rows = read_both("id", sample(500, 123, {"id"}));
    EXPECT_GT(rows.size(), 800U);
    EXPECT_LT(rows.size(), 1200U);
    EXPECT_EQ(read_both("id", sample(500, 123, {"id"})), rows);
    EXPECT_NE(read_both("id", sample(500, 124, {"id"})), rows);
    EXPECT_THAT(read_both("id", sample(1000, 123, {"id"})), ::testing::IsSupersetOf(rows));
    EXPECT_EQ(read_both("id", sample(RowSample::kAll, 1, {"id"})).size(), 20000U);
    EXPECT_LT(read_both("id", sample(1, 1, {"id"})).size(), 20U);
}

TEST_F(PartTest, ASampleDoesNotDependOnTheNumbersType) {
    run("CREATE TABLE public.t (id int PRIMARY KEY);"
        "INSERT INTO public.t SELECT n FROM generate_series(1, 5000) n");
    const auto done = loop_.run(
        other_sql_->execute("CREATE TABLE public.t (id bigint PRIMARY KEY);"
                            "INSERT INTO public.t SELECT n FROM generate_series(1, 5000) n")
    );
    ASSERT_TRUE(done);
    EXPECT_THAT(read_both("id", sample(1000, 5, {"id"})), ::testing::Not(IsEmpty()));
}

TEST_F(PartTest, ASampleByTextWithQuotesAndChineseIsTheSameRowsWhateverTheEncoding) {
    run_on_both(
        "CREATE TABLE public.t (\"a 'key\"\"\" text PRIMARY KEY);"
        "INSERT INTO public.t SELECT '张三''s \"' || n || E'\\\\ \\n' FROM generate_series(1, "
        "4000) n"
    );
    const auto rows = read_both("a 'key\"", sample(1000, 9, {"a 'key\""}));
    EXPECT_GT(rows.size(), 250U);
    EXPECT_LT(rows.size(), 600U);
}

TEST_F(PartTest, ASampleByAKeyOfSeveralColumnsTellsTheirValuesApart) {
    run_on_both(
        "CREATE TABLE public.t (a int, b text, c timestamptz, x int, PRIMARY KEY (a, b, c));"
        "INSERT INTO public.t SELECT n % 10, 'b' || n % 100, '2026-01-01'::timestamptz + n * "
        "interval '1 s', n FROM generate_series(1, 4000) n"
    );
    const auto rows = read_both("x", sample(1000, 9, {"a", "b", "c"}));
    EXPECT_GT(rows.size(), 250U);
    EXPECT_LT(rows.size(), 600U);
    EXPECT_NE(read_both("x", sample(1000, 9, {"b", "a", "c"})), rows);
}

TEST_F(PartTest, ASampleWithoutAKeyIsOfWholeRowsAndTakesAllCopies) {
    run_on_both(
        "CREATE TABLE public.t (a int, b text, f float8, x bytea);"
        "INSERT INTO public.t SELECT n % 1000, nullif('b' || n % 7, 'b3'), n % 10 / 7.0, NULL "
        "FROM generate_series(1, 2000) n; INSERT INTO public.t SELECT * FROM public.t"
    );
    const auto rows = read_both("a", sample(2000, 9, {"a", "b", "f", "x"}));
    EXPECT_GT(rows.size(), 500U);
    EXPECT_LT(rows.size(), 1100U);
    EXPECT_EQ(rows.size() % 2, 0U);
}

TEST_F(PartTest, ARangeOfNumbersTextAndTimesIsTheSameRowsInBoth) {
    run_on_both(
        "CREATE TABLE public.t (id int PRIMARY KEY, word text, at timestamptz, day date);"
        "INSERT INTO public.t VALUES (1, 'a', '2026-01-01 00:00:00+00', '2026-01-01'),"
        "(2, 'B', '2026-01-02 00:00:00+00', '2026-01-02'), (3, '张', '2026-01-03 00:00:00+00', "
        "'2026-01-03'), (4, NULL, NULL, NULL)"
    );
    EXPECT_THAT(read_both("id", range("id", "2", "4")), ElementsAre("2", "3"));
    EXPECT_THAT(read_both("id", range("id", "-5", std::nullopt)), ElementsAre("1", "2", "3", "4"));
    EXPECT_THAT(
        read_both("id", range("at", "2026-01-02 08:00:00+08", "2026-01-03 00:00:00+00")),
        ElementsAre("2")
    );
    EXPECT_THAT(read_both("id", range("at", std::nullopt, "infinity")), ElementsAre("1", "2", "3"));
    EXPECT_THAT(read_both("id", range("day", "2026-01-03", std::nullopt)), ElementsAre("3"));
    // By code points, whatever the collation.
    EXPECT_THAT(read_both("id", range("word", "B", "b")), ElementsAre("1", "2"));
    EXPECT_THAT(read_both("id", range("word", "", std::nullopt)), ElementsAre("1", "2", "3"));
    EXPECT_THAT(read_both("id", range("word", "'; DROP TABLE public.t; --", "A")), IsEmpty());
    auto both = range("id", "1", "5");
    both.sample = {5000, 1, {"id"}};
    const auto sampled = read_both("id", sample(5000, 1, {"id"}));
    EXPECT_EQ(read_both("id", both), sampled);
}

TEST_F(PartTest, AnEndIsSettledInTheTextFormOfItsColumn) {
    run("CREATE DOMAIN public.day AS date; CREATE TABLE public.t (id int PRIMARY KEY, "
        "at timestamptz, n numeric, d public.day, j json)");
    const auto times = settle({{"at", "2026-01-02 08:00 Asia/Shanghai", "infinity"}, {}});
    ASSERT_TRUE(times) << times.error().to_string();
    EXPECT_EQ(*times, (RowRange{"at", "2026-01-02 00:00:00+00", "infinity"}));
    EXPECT_EQ(settle({{"n", " 1e3", {}}, {}}).value(), (RowRange{"n", "1000", std::nullopt}));
    EXPECT_EQ(settle({{"d", {}, "20260102"}, {}})->to, "2026-01-02");
    const auto code = [this](RangeWanted wanted) {
        return settle(std::move(wanted)).error().code();
    };
    EXPECT_EQ(code({{"id", "soon", {}}, {}}), ErrorCode::DbBound);
    EXPECT_EQ(code({{"id", "99999999999", {}}, {}}), ErrorCode::DbBound);
    EXPECT_EQ(code({{"at", "yesterdays", {}}, {}}), ErrorCode::DbBound);
    EXPECT_EQ(code({{"j", "1", {}}, {}}), ErrorCode::DbBound) << "has no order";
    EXPECT_EQ(code({{"id", {}, {}}, std::chrono::hours(1)}), ErrorCode::DbBound) << "is no time";
    EXPECT_EQ(code({{"nothing", "1", {}}, {}}), ErrorCode::DbNoTable);
    // The session is still good, and a scan says the same.
    const auto scanned = loop_.run(reader_->count(kTable, range("id", "soon", {})));
    EXPECT_EQ(scanned.error().code(), ErrorCode::DbBound);
    EXPECT_EQ(read(*reader_, "id", {}).size(), 0U);
}

TEST_F(PartTest, RecentIsByTheDatabasesClockAndZone) {
    run(fmt::format("ALTER DATABASE {} SET timezone = 'Asia/Shanghai'", url_.database));
    reader_ = *loop_.run(PostgresTableReader::open(runtime(), url_, stop_));
    run("CREATE TABLE public.t (id int PRIMARY KEY, at timestamptz, local timestamp, day date, "
        "word text); INSERT INTO public.t SELECT h, now() - make_interval(mins => 60 * h - 30), "
        "(now() AT TIME ZONE 'Asia/Shanghai') - make_interval(mins => 60 * h - 30), "
        "(now() AT TIME ZONE 'Asia/Shanghai')::date - h, to_char((now() AT TIME ZONE "
        "'Asia/Shanghai') - make_interval(mins => 60 * h - 30), 'YYYY-MM-DD HH24:MI:SS') "
        "FROM generate_series(1, 30) h");
    for (const auto* column : {"at", "local", "word"}) {
        const auto settled = settle({{column, {}, {}}, std::chrono::hours(3)});
        ASSERT_TRUE(settled) << settled.error().to_string();
        TablePart part;
        part.range = *settled;
        EXPECT_THAT(read(*reader_, "id", part), ElementsAre("1", "2", "3")) << column;
        EXPECT_FALSE(settled->to);
    }
    TablePart days;
    days.range = settle({{"day", {}, {}}, std::chrono::hours(48)}).value();
    EXPECT_THAT(read(*reader_, "id", days), ElementsAre("1", "2"));
}

}  // namespace
}  // namespace qiao::drivers::postgres
