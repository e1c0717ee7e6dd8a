#include "qiao/common/async/sleep.h"
#include "qiao/drivers/postgres/catalogue.h"
#include "qiao/drivers/postgres/postgres_fixture.h"
#include "qiao/drivers/postgres/table_reader.h"

#include <gmock/gmock.h>

#include <algorithm>

namespace qiao::drivers::postgres {
namespace {

using Form = CanonicalColumn::Form;

class ReaderTest : public PostgresTest {
protected:
    void SetUp() override {
        PostgresTest::SetUp();
        if (HasFatalFailure()) {
            return;
        }
        auto made = loop_.run(PostgresTableReader::open(runtime(), url_, stop_));
        ASSERT_TRUE(made) << made.error().to_string();
        reader_ = *std::move(made);
    }

    void TearDown() override {
        reader_.reset();
        PostgresTest::TearDown();
    }

    std::vector<CanonicalColumn> all_columns(const model::TableName& table) {
        const auto shape = loop_.run(reader_->describe(table));
        EXPECT_TRUE(shape) << shape.error().to_string();
        std::vector<CanonicalColumn> columns;
        for (const auto& column : shape->schema.columns) {
            const auto& safe = shape->binary_safe;
            const bool binary = std::ranges::find(safe, column.name) != safe.end();
            columns.push_back({column.name, binary ? Form::Binary : Form::Text});
        }
        return columns;
    }

    std::vector<Bytes> scan(const model::TableName& table, std::vector<CanonicalColumn> columns) {
        std::vector<Bytes> rows;
        const TableReader::Visit visit = [&rows](const model::Tuple& row) {
            rows.push_back(to_bytes(row.bytes()));
        };
        const auto done = loop_.run(reader_->scan(table, columns, {}, visit, stop_));
        EXPECT_TRUE(done) << done.error().to_string();
        return rows;
    }

    std::unique_ptr<TableReader> reader_;
};

// Spec: R-35
TEST_F(ReaderTest, ValuesThatDifferNeverHaveEqualBytes) {
    run("CREATE EXTENSION citext SCHEMA public; CREATE TYPE public.mood AS ENUM ('a', 'b');"
        "CREATE DOMAIN public.d AS numeric; CREATE TABLE public.t (x numeric, f float8, g float4, "
        "c public.citext, t text, m public.mood, d public.d, j json, n int);"
        "INSERT INTO public.t VALUES (1.0, 0.0, 0.0, 'a', '', 'a', 1.0, '{\"a\":1}', 1),"
        "(1.00, 0.0, 0.0, 'a', '', 'a', 1.0, '{\"a\":1}', 1),"
        "(1.0, '-0', 0.0, 'a', '', 'a', 1.0, '{\"a\":1}', 1),"
        "(1.0, 0.0, '-0', 'a', '', 'a', 1.0, '{\"a\":1}', 1),"
        "(1.0, 0.0, 0.0, 'A', '', 'a', 1.0, '{\"a\":1}', 1),"
        "(1.0, 0.0, 0.0, 'a', NULL, 'a', 1.0, '{\"a\":1}', 1),"
        "(1.0, 0.0, 0.0, 'a', '', 'b', 1.0, '{\"a\":1}', 1),"
        "(1.0, 0.0, 0.0, 'a', '', 'a', 1.00, '{\"a\":1}', 1),"
        "(1.0, 0.0, 0.0, 'a', '', 'a', 1.0, '{\"a\": 1}', 1),"
        "(1.0, 0.0, 0.0, 'a', '', 'a', 1.0, '{\"a\":1}', NULL)");
    auto columns = all_columns({"public", "t"});
    for (int pass = 0; pass < 2; ++pass) {
        auto rows = scan({"public", "t"}, columns);
        EXPECT_EQ(rows.size(), 10);
        std::ranges::sort(rows);
        EXPECT_EQ(std::ranges::adjacent_find(rows), rows.end());
        // Again with everything as text.
        for (auto& column : columns) {
            column.form = Form::Text;
        }
    }
}

TEST_F(ReaderTest, EqualRowsOfTwoDatabasesHaveEqualBytes) {
    run("CREATE SCHEMA other; CREATE TYPE public.mood AS ENUM ('a', 'b');"
        "CREATE TYPE other.mood AS ENUM ('x', 'b', 'a'); CREATE TABLE public.t "
        "(id int PRIMARY KEY, m public.mood, ms public.mood[], at timestamptz, x bytea);"
        "CREATE TABLE other.t (id int PRIMARY KEY, m other.mood, ms other.mood[], at timestamptz, "
        "x bytea); INSERT INTO public.t SELECT n, 'b', '{a,b}', now(), int4send(n) FROM "
        "generate_series(1, 100) n; INSERT INTO other.t SELECT id, m::text::other.mood, "
        "ms::text::other.mood[], at, x FROM public.t");
    auto ours = scan({"public", "t"}, all_columns({"public", "t"}));
    auto theirs = scan({"other", "t"}, all_columns({"other", "t"}));
    std::ranges::sort(ours);
    std::ranges::sort(theirs);
    EXPECT_EQ(ours.size(), 100);
    EXPECT_EQ(ours, theirs);
}

TEST_F(ReaderTest, ASnapshotStaysAsItWasAndLiesBeforeItsPosition) {
    run("CREATE TABLE public.t (id int PRIMARY KEY); INSERT INTO public.t VALUES (1)");
    const auto before = loop_.run(reader_->current_position());
    ASSERT_TRUE(before) << before.error().to_string();
    const auto position = loop_.run(reader_->begin_snapshot());
    ASSERT_TRUE(position) << position.error().to_string();
    EXPECT_TRUE(model::compare(*position, *before) >= 0);
    run("INSERT INTO public.t VALUES (2)");
    EXPECT_EQ(*loop_.run(reader_->count({"public", "t"}, {})), 1);
    EXPECT_EQ(scan({"public", "t"}, {{"id", Form::Text}}).size(), 1);
    ASSERT_TRUE(loop_.run(reader_->end_snapshot()));
    EXPECT_EQ(*loop_.run(reader_->count({"public", "t"}, {})), 2);
    const auto later = loop_.run(reader_->current_position());
    ASSERT_TRUE(later);
    EXPECT_TRUE(model::compare(*later, *position) > 0);

    // The same history as the replication protocol tells.
    ConnectOptions options;
    options.replication = true;
    const auto replication = open(url_, options);
    const auto identity = loop_.run(replication->query("IDENTIFY_SYSTEM"));
    ASSERT_TRUE(identity);
    const auto same = model::SourcePosition::lsn(
        identity->number(0, 0), static_cast<uint32_t>(identity->number(0, 1)), 0
    );
    EXPECT_TRUE(later->same_history(same));
}

TEST_F(ReaderTest, TheHistoryIsFoundWithoutTheFunctionsToo) {
    run("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM public; "
        "CREATE ROLE plain LOGIN REPLICATION PASSWORD 'pw'");
    auto url = url_;
    url.user = "plain";
    url.password = Secret(std::string_view("pw"));
    auto made = loop_.run(PostgresTableReader::open(runtime(), url, stop_));
    ASSERT_TRUE(made) << made.error().to_string();
    const auto position = loop_.run((*made)->begin_snapshot());
    ASSERT_TRUE(position) << position.error().to_string();
    const auto again = loop_.run((*made)->current_position());
    ASSERT_TRUE(again);
    const auto known = loop_.run(reader_->current_position());
    EXPECT_TRUE(known->same_history(*again));
    made->reset();
    run("DROP ROLE plain");
}

TEST_F(ReaderTest, ReadsRowsByKeysOfSeveralColumnsAndForms) {
    run("CREATE EXTENSION citext SCHEMA public; CREATE TABLE public.t (a int, b public.citext, "
        "n numeric, x text, PRIMARY KEY (a, b, n)); INSERT INTO public.t SELECT n, 'Key' || n, "
        "(n || '.0')::numeric, repeat('x', n) FROM generate_series(1, 2500) n");
    const model::TableName table{"public", "t"};
    const std::vector<CanonicalColumn> columns{{"x", Form::Binary}, {"a", Form::Text}};
    const std::vector<CanonicalColumn> key_columns{
        {"a", Form::Binary}, {"b", Form::Text}, {"n", Form::Binary}
    };
    std::vector<Bytes> keys = scan(table, key_columns);
    ASSERT_EQ(keys.size(), 2500);
    keys.erase(keys.begin(), keys.begin() + 100);
    keys.push_back(keys.back());
    size_t rows = 0;
    const TableReader::Visit visit = [&rows](const model::Tuple& row) {
        ++rows;
        const auto values = row.values();
        EXPECT_EQ(values[0].kind, model::ValueKind::Binary);
        EXPECT_EQ(std::to_string(values[0].bytes.size()), as_text(values[1].bytes));
    };
    const auto done = loop_.run(reader_->read_keys(table, columns, key_columns, keys, visit));
    ASSERT_TRUE(done) << done.error().to_string();
    EXPECT_EQ(rows, 2400);
}

TEST_F(ReaderTest, DescribesTheKeyWhateverTheReplicaIdentity) {
    run("CREATE TABLE public.t (x int, id int PRIMARY KEY, m oid); "
        "ALTER TABLE public.t REPLICA IDENTITY NOTHING; CREATE TABLE public.u (a int NOT NULL, "
        "b int UNIQUE, c int, UNIQUE (a))");
    const auto shape = loop_.run(reader_->describe({"public", "t"}));
    ASSERT_TRUE(shape);
    EXPECT_EQ(shape->schema.key_columns(), std::vector<size_t>{1});
    EXPECT_THAT(shape->binary_safe, testing::ElementsAre("x", "id"));
    const auto unique = loop_.run(reader_->describe({"public", "u"}));
    ASSERT_TRUE(unique);
    EXPECT_EQ(unique->schema.key_columns(), std::vector<size_t>{0});
}

TEST_F(ReaderTest, PartitionsAndEmptyTablesAreReadThroughTheirRoot) {
    run("CREATE TABLE public.t (id int) PARTITION BY LIST (id); CREATE TABLE public.t1 PARTITION "
        "OF "
        "public.t FOR VALUES IN (1, 2); CREATE TABLE public.t2 PARTITION OF public.t DEFAULT");
    EXPECT_TRUE(scan({"public", "t"}, {{"id", Form::Binary}}).empty());
    run("INSERT INTO public.t SELECT generate_series(1, 5)");
    EXPECT_EQ(scan({"public", "t"}, {{"id", Form::Binary}}).size(), 5);
    EXPECT_EQ(*loop_.run(reader_->count({"public", "t"}, {})), 5);
}

TEST_F(ReaderTest, RowsHiddenByAPolicyAreAnError) {
    run("CREATE ROLE eve LOGIN PASSWORD 'pw'; CREATE TABLE public.t (id int); GRANT SELECT ON "
        "public.t TO eve; ALTER TABLE public.t ENABLE ROW LEVEL SECURITY; INSERT INTO public.t "
        "VALUES (1)");
    auto url = url_;
    url.user = "eve";
    url.password = Secret(std::string_view("pw"));
    auto made = loop_.run(PostgresTableReader::open(runtime(), url, stop_));
    ASSERT_TRUE(made);
    EXPECT_FALSE(loop_.run((*made)->count({"public", "t"}, {})));
    made->reset();
    run("DROP OWNED BY eve; DROP ROLE eve");
}

TEST_F(ReaderTest, AScanThatIsStoppedLeavesTheReaderUsable) {
    run("CREATE TABLE public.t AS SELECT n AS id, repeat('x', 1000) AS x FROM "
        "generate_series(1, 100000) n");
    const model::TableName table{"public", "t"};
    const std::vector<CanonicalColumn> columns{{"id", Form::Binary}, {"x", Form::Binary}};
    ASSERT_TRUE(loop_.run(reader_->begin_snapshot()));
    StopSignal stop;
    size_t rows = 0;
    const TableReader::Visit visit = [&](const model::Tuple&) {
        if (++rows == 100) {
            stop.request();
        }
    };
    const auto done = loop_.run(reader_->scan(table, columns, {}, visit, stop));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), ErrorCode::Cancelled);
    EXPECT_LT(rows, 100000);
    ASSERT_TRUE(loop_.run(reader_->end_snapshot()));
    EXPECT_EQ(*loop_.run(reader_->count(table, {})), 100000);
}

class CatalogueTest : public PostgresTest {
protected:
    std::vector<std::string> names(const std::vector<std::string>& patterns) {
        std::vector<TablePattern> parsed;
        for (const auto& pattern : patterns) {
            parsed.push_back(*TablePattern::parse(pattern));
        }
        const auto tables = loop_.run(read_tables(*sql_, parsed));
        EXPECT_TRUE(tables) << tables.error().to_string();
        std::vector<std::string> found;
        for (const auto& table : *tables) {
            found.push_back(table.schema.table.to_string());
        }
        return found;
    }

    CatalogueTable table(const std::string& name) {
        auto found = loop_.run(read_table(*sql_, {"public", name}));
        EXPECT_TRUE(found) << found.error().to_string();
        return *std::move(found);
    }
};

TEST_F(CatalogueTest, StarsLeaveOutWhatIsNotTheApplicationsOwn) {
    run("CREATE SCHEMA s; CREATE TABLE public.b (id int); CREATE TABLE s.a (id int) PARTITION BY "
        "LIST (id); CREATE TABLE s.a1 PARTITION OF s.a DEFAULT; CREATE VIEW s.v AS SELECT 1; "
        "CREATE SCHEMA qiao; CREATE TABLE qiao.checkpoint (id int); CREATE TEMP TABLE tmp (id int);"
        "CREATE TABLE s.\"X.*\"\"y\" (id int); CREATE TABLE public.\"桥\" (id int)");
    EXPECT_THAT(names({"*"}), testing::ElementsAre("public.b", "public.桥", "s.X.*\"y", "s.a"));
    EXPECT_THAT(names({"s.*", "s.a", "b"}), testing::ElementsAre("public.b", "s.X.*\"y", "s.a"));
    EXPECT_THAT(names({"s.a1", "s.v"}), testing::ElementsAre("s.a1", "s.v"));
    EXPECT_THAT(names({"s.\"X.*\"\"y\""}), testing::ElementsAre("s.X.*\"y"));
    const std::vector<TablePattern> missing{{"s", "a"}, {"s", "no"}};
    const auto refused = loop_.run(read_tables(*sql_, missing));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), ErrorCode::DbNoTable);
    EXPECT_EQ(refused.error().detail(), "table s.no");
}

TEST_F(CatalogueTest, IdentityFollowsTheReplicaIdentity) {
    run("CREATE TABLE public.pk (x int, a int, b int, PRIMARY KEY (b, a));"
        "CREATE TABLE public.none (a int); CREATE TABLE public.idx (a int NOT NULL, b int PRIMARY "
        "KEY); CREATE UNIQUE INDEX i ON public.idx (a); ALTER TABLE public.idx REPLICA IDENTITY "
        "USING INDEX i; CREATE TABLE public.full (a int PRIMARY KEY, b int); ALTER TABLE "
        "public.full REPLICA IDENTITY FULL; CREATE TABLE public.nothing (a int PRIMARY KEY); "
        "ALTER TABLE public.nothing REPLICA IDENTITY NOTHING; CREATE UNLOGGED TABLE public.fast "
        "(a int PRIMARY KEY DEFERRABLE)");
    using model::Identity;
    EXPECT_EQ(table("pk").schema.identity, Identity::PrimaryKey);
    EXPECT_EQ(table("pk").schema.key_columns(), (std::vector<size_t>{1, 2}));
    EXPECT_THAT(table("pk").primary_key()->columns, testing::ElementsAre("b", "a"));
    EXPECT_EQ(table("none").schema.identity, Identity::None);
    EXPECT_EQ(table("idx").schema.identity, Identity::Index);
    EXPECT_EQ(table("idx").schema.key_columns(), std::vector<size_t>{0});
    EXPECT_EQ(table("full").schema.identity, Identity::Full);
    EXPECT_EQ(table("nothing").schema.identity, Identity::None);
    EXPECT_TRUE(table("nothing").schema.key_columns().empty());
    EXPECT_EQ(table("fast").schema.identity, Identity::None);
    EXPECT_FALSE(table("fast").logged);
    EXPECT_TRUE(table("pk").logged);
}

TEST_F(CatalogueTest, TellsColumnsByTheirTypes) {
    run("CREATE EXTENSION citext SCHEMA public; CREATE DOMAIN public.d1 AS int CHECK (VALUE > 0);"
        "CREATE DOMAIN public.d2 AS public.d1; CREATE TYPE public.e AS ENUM ('a'); CREATE TABLE "
        "public.t (a varchar(7) COLLATE \"C\" NOT NULL, gone int, b public.d2, c int[], d "
        "public.e, "
        "e public.e[], f public.citext, g int GENERATED ALWAYS AS (1) STORED, h int GENERATED "
        "ALWAYS "
        "AS IDENTITY, i regclass); ALTER TABLE public.t DROP COLUMN gone");
    const auto t = table("t");
    std::vector<std::string> text;
    for (size_t i = 0; i < t.columns.size(); ++i) {
        const auto& c = t.schema.columns[i];
        const auto& f = t.columns[i];
        text.push_back(fmt::format(
            "{} {} {} {}{}{}{}{}{}{}",
            c.name,
            c.type,
            f.base_type,
            c.collation,
            f.binary_safe ? " safe" : "",
            f.text_is_binary ? " textual" : "",
            f.array ? " array" : "",
            c.generated ? " generated" : "",
            f.identity_always ? " identity" : "",
            c.not_null ? " required" : ""
        ));
    }
    EXPECT_THAT(
        text,
        testing::ElementsAre(
            "a pg_catalog.varchar pg_catalog.varchar pg_catalog.C safe textual required",
            "b public.d2 pg_catalog.int4  safe",
            "c pg_catalog._int4 pg_catalog._int4  safe array",
            "d public.e public.e  textual",
            "e public._e public._e  array",
            "f public.citext public.citext  textual",
            "g pg_catalog.int4 pg_catalog.int4  safe generated",
            "h pg_catalog.int4 pg_catalog.int4  safe identity required",
            "i pg_catalog.regclass pg_catalog.regclass "
        )
    );
    EXPECT_EQ(t.schema.columns[0].modifier, 11);
}

TEST_F(CatalogueTest, ReadsOnAReplicationConnectionAndThroughPartitions) {
    run("CREATE TABLE public.r (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE public.m "
        "PARTITION OF public.r FOR VALUES FROM (0) TO (9) PARTITION BY RANGE (id); CREATE TABLE "
        "public.l PARTITION OF public.m FOR VALUES FROM (0) TO (5)");
    ConnectOptions options;
    options.replication = true;
    const auto replication = open(url_, options);
    const auto leaves = loop_.run(read_tables(*replication, {TablePattern::of({"public", "l"})}));
    ASSERT_TRUE(leaves) << leaves.error().to_string();
    ASSERT_EQ(leaves->size(), 1U);
    const auto* const leaf = leaves->data();
    EXPECT_EQ(leaf->partition_root, (model::TableName{"public", "r"}));
    EXPECT_EQ(leaf->kind, RelationKind::Table);
    EXPECT_EQ(leaf->schema.identity, model::Identity::PrimaryKey);
    EXPECT_EQ(table("r").kind, RelationKind::Partitioned);
    EXPECT_FALSE(table("r").partition_root);
}

}  // namespace
}  // namespace qiao::drivers::postgres
