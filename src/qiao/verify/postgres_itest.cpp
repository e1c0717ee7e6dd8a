// The comparison over the real reader of PostgreSQL: two schemas of one database stand for the two
// ends.

#include "qiao/drivers/postgres/postgres_fixture.h"
#include "qiao/drivers/postgres/table_reader.h"
#include "qiao/verify/local_side.h"
#include "qiao/verify/repair.h"
#include "qiao/verify/verifier.h"

#include <gmock/gmock.h>

#include <algorithm>

namespace qiao::verify {
namespace {

using drivers::postgres::PostgresTableReader;

class PostgresVerifyTest : public drivers::postgres::PostgresTest {
protected:
    void SetUp() override {
        PostgresTest::SetUp();
        if (!HasFatalFailure()) {
            source_ = *loop_.run(PostgresTableReader::open(runtime(), url_, stop_));
            target_ = *loop_.run(PostgresTableReader::open(runtime(), url_, stop_));
        }
    }

    void TearDown() override {
        source_.reset();
        target_.reset();
        PostgresTest::TearDown();
    }

    TableOutcome verify(const std::string& table, VerifyOptions options = {}) {
        LocalSide source({loop_, loop_, *source_});
        LocalSide target({loop_, loop_, *target_});
        options.first_pause = std::chrono::milliseconds(5);
        Verifier verifier({loop_, loop_, system_rng(), source, target, {}}, options);
        TablePair pair{{"public", table}, {"other", table}, {}, part_};
        return loop_.run(verifier.verify(std::move(pair), stop_));
    }

    /// `key: columns`, or `key: missing`, `key: extra`, `key: copies`.
    std::vector<std::string> told(const TableReport& report) {
        EXPECT_FALSE(report.error) << report.error->to_string();
        std::vector<std::string> all;
        for (const auto& one : report.differences) {
            std::string text;
            for (const auto& part : one.key) {
                text += part.value.value_or("NULL") + " ";
            }
            const std::array words = {"missing", "extra", "differs", "copies"};
            text += words[static_cast<size_t>(one.kind)];
            for (const auto& column : one.columns) {
                text += " " + column;
            }
            all.push_back(text);
        }
        std::ranges::sort(all);
        return all;
    }

    Part part_;
    std::unique_ptr<drivers::TableReader> source_, target_;
};

// Spec: R-35
TEST_F(PostgresVerifyTest, NamesTableKeyAndColumnOfWhatLooksEqual) {
    const std::string columns =
        " (id int, region text, n numeric, f float8, c public.citext, t text, j jsonb, "
        "g int GENERATED ALWAYS AS (id * 2) STORED, PRIMARY KEY (id, region));";
    run("CREATE EXTENSION citext SCHEMA public; CREATE SCHEMA other; CREATE TABLE public.t" +
        columns + "CREATE TABLE other.t" + columns +
        "INSERT INTO public.t SELECT i, 'r' || i % 5, 1.0, 0.0, 'abc', '', '{\"a\": 1}' FROM "
        "generate_series(1, 5000) i; INSERT INTO other.t SELECT * FROM (SELECT id, region, n, f, "
        "c, t, j FROM public.t) s");
    auto outcome = verify("t");
    EXPECT_EQ(outcome.report.verdict, Verdict::Equal) << render(outcome.report, Language::English);
    EXPECT_EQ(outcome.report.source_rows, 5000U);
    EXPECT_EQ(outcome.report.columns, 8U);

    run("UPDATE other.t SET n = 1.00 WHERE id = 1; UPDATE other.t SET f = '-0' WHERE id = 2;"
        "UPDATE other.t SET c = 'ABC' WHERE id = 3; UPDATE other.t SET t = NULL WHERE id = 4;"
        "UPDATE other.t SET j = '{\"a\": 1.0}', t = 'x' WHERE id = 5;"
        "DELETE FROM other.t WHERE id = 6; INSERT INTO other.t VALUES (9999, 'r')");
    outcome = verify("t");
    EXPECT_EQ(outcome.report.verdict, Verdict::Different);
    EXPECT_THAT(
        told(outcome.report),
        ::testing::UnorderedElementsAre(
            "1 r1 differs n",
            "2 r2 differs f",
            "3 r3 differs c",
            "4 r4 differs t",
            "5 r0 differs t j",
            "6 r1 missing",
            "9999 r extra"
        )
    );

    auto plan = loop_.run(read_repair(*source_, std::move(outcome.repair), {}, stop_));
    ASSERT_TRUE(plan) << plan.error().to_string();
    EXPECT_EQ(plan->changes.size(), 7U);
    EXPECT_EQ(plan->schema.columns.size(), 7U);
    EXPECT_EQ(plan->left_out, 0U);
    EXPECT_FALSE(plan->position.empty());
}

TEST_F(PostgresVerifyTest, ComparesKeylessTablesAndKeysThatDifferInCase) {
    run("CREATE EXTENSION citext SCHEMA public; CREATE SCHEMA other;"
        "CREATE TABLE public.k (a int, b text, c bytea); CREATE TABLE other.k (a int, b text, c "
        "bytea); INSERT INTO public.k SELECT i % 50, 'x', '\\x00ff' FROM generate_series(1, 500) "
        "i; INSERT INTO other.k SELECT * FROM public.k;"
        "CREATE TABLE public.c (name public.citext PRIMARY KEY); CREATE TABLE other.c (name "
        "public.citext PRIMARY KEY); INSERT INTO public.c VALUES ('Ann'), ('Bob'); "
        "INSERT INTO other.c VALUES ('ann'), ('Bob'); CREATE TABLE public.e (); "
        "CREATE TABLE other.e (); INSERT INTO public.e DEFAULT VALUES");
    EXPECT_EQ(verify("k").report.verdict, Verdict::Equal);
    run("INSERT INTO other.k VALUES (1, 'x', '\\x00ff'), (77, '', NULL)");
    EXPECT_THAT(told(verify("k").report), ::testing::ElementsAre("copies", "extra"));
    EXPECT_THAT(told(verify("c").report), ::testing::ElementsAre("Ann missing", "ann extra"));
    EXPECT_EQ(verify("e").report.verdict, Verdict::Different);
    run("INSERT INTO other.e DEFAULT VALUES");
    EXPECT_EQ(verify("e").report.verdict, Verdict::Equal);
}

TEST_F(PostgresVerifyTest, FindsFewAmongMany) {
    run("CREATE SCHEMA other; CREATE TABLE public.big (id bigint PRIMARY KEY, a text, b numeric); "
        "INSERT INTO public.big SELECT i, md5(i::text), i / 7.0 FROM generate_series(1, 300000) i;"
        "CREATE TABLE other.big (LIKE public.big INCLUDING ALL); INSERT INTO other.big SELECT * "
        "FROM public.big WHERE id % 100000 <> 17; UPDATE other.big SET a = a || ' ' WHERE id % "
        "60000 = 5");
    VerifyOptions options;
    options.list_rows = 20;  // so that finer sums are needed
    const auto report = verify("big", options).report;
    EXPECT_THAT(
        told(report),
        ::testing::UnorderedElementsAre(
            "100017 missing",
            "17 missing",
            "200017 missing",
            "120005 differs a",
            "180005 differs a",
            "240005 differs a",
            "5 differs a",
            "60005 differs a"
        )
    );
    EXPECT_EQ(report.unexamined, 0U);
    EXPECT_EQ(verify("missing").report.error->code(), ErrorCode::DbNoTable);
}

// Spec: R-36
TEST_F(PostgresVerifyTest, ComparesAPartOfATable) {
    run("CREATE SCHEMA other; CREATE TABLE public.p (id int, name text, at timestamptz, x text, "
        "PRIMARY KEY (id, name)); INSERT INTO public.p SELECT i, '张''' || i, '2026-01-01 "
        "00:00+00'::timestamptz + i * interval '1 min', 'x' FROM generate_series(1, 3000) i;"
        "CREATE TABLE other.p (LIKE public.p INCLUDING ALL); INSERT INTO other.p SELECT * FROM "
        "public.p; UPDATE other.p SET x = 'y' WHERE id % 10 = 0; UPDATE other.p SET at = NULL "
        "WHERE id = 101; UPDATE other.p SET at = '2030-01-01' WHERE id = 102;"
        "UPDATE other.p SET at = '2026-01-01 01:42+00' WHERE id = 2000");
    part_.range = {{"at", "2026-01-01 09:40+08", "2026-01-01 01:51+00"}, std::nullopt};
    auto outcome = verify("p");
    EXPECT_THAT(
        told(outcome.report),
        ::testing::UnorderedElementsAre(
            "100 张'100 differs x",
            "101 张'101 differs at",
            "102 张'102 differs at",
            "110 张'110 differs x",
            "2000 张'2000 differs at x"
        )
    );
    EXPECT_EQ(outcome.report.source_rows, 11U);
    EXPECT_EQ(outcome.report.part.range->range.from, "2026-01-01 01:40:00+00");
    const auto plan = loop_.run(read_repair(*source_, std::move(outcome.repair), {}, stop_));
    ASSERT_TRUE(plan) << plan.error().to_string();
    EXPECT_EQ(plan->changes.size(), 5U);

    part_ = {};
    part_.share = 1000;
    part_.seed = 5;
    const auto report = verify("p").report;
    EXPECT_EQ(report.source_rows, report.target_rows);
    EXPECT_GT(report.confirmed, 5U);
    EXPECT_LT(report.confirmed, 100U);
    EXPECT_EQ(told(verify("p").report), told(report));
}

// A key that the database calls equal to another one may be in the sample alone: what mends it must
// not take the other one with it.
TEST_F(PostgresVerifyTest, ARepairOfASampleLosesNoRowWhoseKeyIsOnlyWrittenOtherwise) {
    run("CREATE SCHEMA other; CREATE TABLE public.n (n numeric PRIMARY KEY, x text);"
        "CREATE TABLE other.n (n numeric PRIMARY KEY, x text); INSERT INTO public.n SELECT i, 'x' "
        "FROM generate_series(1, 50) i; INSERT INTO other.n SELECT (i || '.0')::numeric, 'x' FROM "
        "generate_series(1, 50) i");
    part_.share = 3000;
    part_.seed = 1;
    auto outcome = verify("n");
    const auto all = told(outcome.report);
    std::vector<std::string> alone;
    for (const auto& one : all) {
        const auto key = one.substr(0, one.find('.'));
        if (one.ends_with("extra") && std::ranges::find(all, key + " missing") == all.end()) {
            alone.push_back(key);
        }
    }
    ASSERT_FALSE(alone.empty());
    const auto plan = loop_.run(read_repair(*source_, std::move(outcome.repair), {}, stop_));
    ASSERT_TRUE(plan) << plan.error().to_string();
    std::vector<std::string> sent;
    for (const auto& change : plan->changes) {
        if (change.op == model::Op::Insert) {
            sent.emplace_back(as_text(change.new_row.values().at(0).bytes));
        }
    }
    EXPECT_THAT(sent, ::testing::IsSupersetOf(alone));
}

}  // namespace
}  // namespace qiao::verify
