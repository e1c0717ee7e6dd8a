// The oracle is PostgreSQL's own pg_dump: what it says of the source's schema it must say of the
// target's, whatever we did in between.

#include "qiao/common/async/event_loop.h"
#include "qiao/drivers/postgres/structure/compare.h"
#include "qiao/drivers/postgres/structure/create.h"
#include "qiao/drivers/postgres/structure/read.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <set>
#include <sstream>

namespace qiao::drivers::postgres {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

std::string url_of(int server, const std::string& database) {
    const auto* base = std::getenv(fmt::format("QIAO_PG_{}_URL", server).c_str());
    EXPECT_NE(base, nullptr) << "run by: tools/servers.py run --postgres 2 -- …";
    const std::string text = base == nullptr ? "" : base;
    return text.substr(0, text.rfind('/') + 1) + database;
}

std::string output_of(const std::string& command) {
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
std::string dump(const std::string& url, const std::string& options = "") {
    const auto* folder = std::getenv("QIAO_PG_1_BIN");
    return output_of(fmt::format(
        "{}pg_dump --schema-only --no-owner --no-privileges --no-publications{} '{}'"
        " | grep -Ev '^(--|$|SET |SELECT pg_catalog.set_config|.(un)?restrict )'",
        folder == nullptr ? "" : fmt::format("{}/", folder),
        url
    ));
}

Task<Result<std::unique_ptr<Connection>>> open(
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
        for (const int server : {1, 2}) {
            auto admin = connect(url_of(server, "postgres"));
            must(*admin, "DROP DATABASE IF EXISTS " + database);
            must(*admin, "CREATE DATABASE " + database + " TEMPLATE template0");
        }
        source_url_ = url_of(1, database);
        target_url_ = url_of(2, database);
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
        EXPECT_EQ(dump(target_url_), dump(source_url_));
        for (const auto& finding : compare(all_tables())) {
            ADD_FAILURE() << finding.subject << ": " << finding.message_en;
        }
        return structure;
    }

    void expect_sample_arrives(const std::string& database);

    EventLoop loop_;
    StopSignal stop_;
    std::string source_url_;
    std::string target_url_;
    std::unique_ptr<Connection> source_;
    std::unique_ptr<Connection> target_;
};

std::vector<std::string> left_out_kinds(const Structure& structure, const std::string& object) {
    std::vector<std::string> kinds;
    for (const auto& entry : structure.left_out) {
        if (entry.object.find(object) != std::string::npos) {
            kinds.push_back(entry.kind);
        }
    }
    return kinds;
}

// Spec: R-11
TEST_F(StructureTest, BringsTypesOfEveryKindWithWhatTheyStandOn) {
    expect_equal_dumps(R"(
        CREATE SCHEMA "odd Schema";
        CREATE TYPE "odd Schema"."Mood" AS ENUM ('sad', 'it''s ok', '"happy"');
        CREATE COLLATION "odd Schema".c_copy (provider = libc, locale = 'C');
        CREATE FUNCTION is_even(n integer) RETURNS boolean LANGUAGE sql IMMUTABLE
            AS 'SELECT n % 2 = 0';
        CREATE DOMAIN even AS integer DEFAULT 2 NOT NULL CONSTRAINT is_even CHECK (is_even(VALUE))
            CONSTRAINT small CHECK (VALUE < 1000);
        CREATE DOMAIN code AS varchar(6) COLLATE "odd Schema".c_copy CHECK (VALUE ~ '^[0-9]+$');
        COMMENT ON CONSTRAINT small ON DOMAIN even IS 'less than 1000';
        CREATE TYPE inner_pair AS (a even, b "odd Schema"."Mood"[]);
        CREATE TYPE outer_pair AS ("Left" inner_pair, "right" text COLLATE "C");
        COMMENT ON TYPE outer_pair IS 'two of them';
        CREATE FUNCTION code_distance(a text, b text) RETURNS float8 LANGUAGE plpgsql IMMUTABLE
            AS $$ BEGIN RETURN length(a) - length(b); END $$;
        CREATE TYPE code_range AS RANGE (subtype = text, collation = "C",
            subtype_diff = code_distance, multirange_type_name = "Codes");
        CREATE TABLE "odd Schema"."Table with ""quotes""" (
            id integer PRIMARY KEY, p outer_pair, r code_range, m "Codes",
            "select" "odd Schema"."Mood" NOT NULL DEFAULT 'sad', d even[], c code);
    )");
}

TEST_F(StructureTest, BringsColumnsAsTheyAre) {
    expect_equal_dumps(R"(
        CREATE EXTENSION citext;
        CREATE SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext;
        CREATE FUNCTION twice(n integer) RETURNS integer LANGUAGE sql IMMUTABLE
            AS 'SELECT n * 2';
        CREATE SEQUENCE own_numbers AS smallint INCREMENT 3 MINVALUE 2 MAXVALUE 900 START 5 CYCLE;
        CREATE TABLE columns (
            gone_first integer,
            a serial, b bigserial PRIMARY KEY,
            c integer GENERATED ALWAYS AS IDENTITY (INCREMENT 5 START 10 CACHE 7),
            d bigint GENERATED BY DEFAULT AS IDENTITY,
            gone integer,
            e integer DEFAULT nextval('own_numbers'),
            f integer GENERATED ALWAYS AS (twice(a) + 1) STORED,
            g text DEFAULT 'x' || current_user COLLATE "C" NOT NULL,
            h citext, i ext.hstore, j numeric(10,2) DEFAULT -1.5, k interval day to second(2),
            l timestamptz(3) DEFAULT now(), m varchar(20)[], n bit(3), o char(4), p jsonb
        ) WITH (fillfactor = 70, toast.autovacuum_enabled = off);
        ALTER TABLE columns DROP COLUMN gone_first, DROP COLUMN gone;
        ALTER TABLE columns ALTER g SET STORAGE EXTERNAL, ALTER p SET COMPRESSION pglz,
            ALTER j SET STATISTICS 77, ALTER h SET (n_distinct = -0.5);
        ALTER TABLE columns ADD CONSTRAINT positive CHECK (twice(a) > 0),
            ADD CONSTRAINT unproven CHECK (d > 0) NOT VALID;
        COMMENT ON TABLE columns IS 'it''s a table'; COMMENT ON COLUMN columns.g IS E'线\n二';
        COMMENT ON CONSTRAINT positive ON columns IS 'c'; COMMENT ON SEQUENCE own_numbers IS 's';
        COMMENT ON FUNCTION twice(integer) IS 'f';
        CREATE UNLOGGED TABLE not_logged (a integer);
        CREATE TABLE empty_table ();
    )");
}

TEST_F(StructureTest, BringsKeysIndexesAndForeignKeys) {
    expect_equal_dumps(R"(
        CREATE EXTENSION btree_gist;
        CREATE FUNCTION folded(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower(t)';
        CREATE TABLE parents (a integer, b text, c text NOT NULL, d text UNIQUE,
            CONSTRAINT "parents key" PRIMARY KEY (b, a) INCLUDE (c) WITH (fillfactor = 80),
            CONSTRAINT c_once UNIQUE (c) DEFERRABLE INITIALLY DEFERRED);
        CREATE TABLE children (id integer PRIMARY KEY, a integer, b text, c text, boss integer,
            during tstzrange, room integer,
            FOREIGN KEY (b, a) REFERENCES parents MATCH FULL ON DELETE CASCADE ON UPDATE SET NULL,
            CONSTRAINT boss_is_one FOREIGN KEY (boss) REFERENCES children
                DEFERRABLE INITIALLY DEFERRED,
            CONSTRAINT apart EXCLUDE USING gist (room WITH =, during WITH &&) WHERE (room > 0));
        ALTER TABLE children ADD CONSTRAINT unproven FOREIGN KEY (c) REFERENCES parents (d)
            NOT VALID;
        CREATE INDEX plain ON children (a DESC NULLS LAST, b text_pattern_ops) INCLUDE (c);
        CREATE UNIQUE INDEX partial ON children (folded(c)) WHERE room IS NULL;
        CREATE INDEX "Expression" ON children ((a + room), (b || c)) WITH (fillfactor = 60);
        CREATE UNIQUE INDEX identity_index ON parents (c);
        ALTER INDEX "Expression" ALTER COLUMN 1 SET STATISTICS 500;
        ALTER TABLE parents REPLICA IDENTITY FULL;
        ALTER TABLE children CLUSTER ON plain;
        CREATE STATISTICS related (dependencies, mcv) ON a, b FROM children;
        COMMENT ON INDEX plain IS 'i'; COMMENT ON STATISTICS related IS 'st';
        COMMENT ON CONSTRAINT boss_is_one ON children IS 'fk';
        CREATE TABLE by_index (a integer NOT NULL);
        CREATE UNIQUE INDEX by_index_a ON by_index (a);
        ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_a;
    )");
}

TEST_F(StructureTest, BringsPartitionsOfEveryKind) {
    expect_equal_dumps(R"(
        CREATE FUNCTION half(n integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT n / 2';
        CREATE TABLE events (id integer NOT NULL, day date NOT NULL, kind text NOT NULL,
            size integer DEFAULT 1 CHECK (size > 0), CONSTRAINT events_key PRIMARY KEY (id, day, kind)
        ) PARTITION BY RANGE (day);
        CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2025-01-01')
            PARTITION BY LIST (kind);
        CREATE TABLE events_2024_a PARTITION OF events_2024 FOR VALUES IN ('a', 'it''s');
        CREATE TABLE events_2024_rest PARTITION OF events_2024 DEFAULT PARTITION BY HASH (id);
        CREATE TABLE events_2024_rest_0 PARTITION OF events_2024_rest
            FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE SCHEMA elsewhere;
        CREATE TABLE elsewhere.events_2024_rest_1 PARTITION OF events_2024_rest
            (size DEFAULT 7) FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        CREATE TABLE events_2025 (kind text NOT NULL, gone integer, size integer DEFAULT 1
            CHECK (size > 0), day date NOT NULL, id integer NOT NULL, CONSTRAINT own CHECK (id > 0));
        ALTER TABLE events_2025 DROP COLUMN gone;
        ALTER TABLE events_2025 RENAME CONSTRAINT events_2025_size_check TO events_size_check;
        ALTER TABLE events ATTACH PARTITION events_2025
            FOR VALUES FROM ('2025-01-01') TO (MAXVALUE);
        CREATE UNIQUE INDEX events_size ON events (size, id, day, kind);
        CREATE INDEX only_here ON events_2025 (size);
        CREATE INDEX not_everywhere ON ONLY events (kind);
        CREATE TABLE seen (id integer, day date, kind text,
            FOREIGN KEY (id, day, kind) REFERENCES events);
        CREATE TABLE halves (n integer) PARTITION BY RANGE (half(n), (n + 1));
        CREATE TABLE halves_0 PARTITION OF halves FOR VALUES FROM (0, 0) TO (10, MAXVALUE);
        COMMENT ON TABLE events_2024_a IS 'leaf';
    )");
}

TEST_F(StructureTest, ListsWhatIsLeftOut) {
    must(*source_, R"(
        CREATE TABLE public.other (id integer PRIMARY KEY);
        CREATE TABLE public.parent (id integer);
        CREATE TABLE public.chosen (id integer PRIMARY KEY, o integer REFERENCES public.other,
            row_of_other public.other[]);
        CREATE TABLE public.child (extra integer) INHERITS (public.parent);
        CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql
            AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER trig BEFORE INSERT ON public.child FOR EACH ROW
            EXECUTE FUNCTION public.nothing();
        CREATE RULE ruling AS ON DELETE TO public.child DO INSTEAD NOTHING;
        CREATE POLICY polite ON public.child USING (true);
        ALTER TABLE public.child ENABLE ROW LEVEL SECURITY;
        GRANT SELECT ON public.child TO PUBLIC;
        CREATE PUBLICATION told FOR TABLE public.child;
        CREATE AGGREGATE public.total(integer) (SFUNC = int4pl, STYPE = integer);
        CREATE TABLE public.keyed (id integer PRIMARY KEY, o integer REFERENCES public.other);
        CREATE TABLE public.parts (a integer) PARTITION BY LIST (a);
        CREATE TABLE public.part_1 PARTITION OF public.parts FOR VALUES IN (1);
    )");
    std::vector<TablePair> tables;
    for (const auto* name : {"chosen", "child", "keyed", "part_1"}) {
        tables.push_back({{"public", name}, {"public", name}});
    }
    const auto structure = bring(tables);
    EXPECT_THAT(left_out_kinds(structure, "public.chosen"), Contains("table"));
    for (const auto* kind :
         {"trigger", "rule", "row security", "grants", "publication", "inheritance", "owner"}) {
        EXPECT_THAT(left_out_kinds(structure, "child"), Contains(kind));
    }
    EXPECT_THAT(left_out_kinds(structure, "keyed"), Contains("foreign key"));
    EXPECT_THAT(left_out_kinds(structure, "part_1"), Contains("partition"));
    for (const auto& entry : structure.left_out) {
        EXPECT_FALSE(entry.reason_en.empty() || entry.reason_zh.empty()) << entry.object;
    }
    EXPECT_EQ(ask(*target_, "SELECT to_regclass('public.chosen')"), "");
    EXPECT_NE(ask(*target_, "SELECT to_regclass('public.child')"), "");
    EXPECT_NE(ask(*target_, "SELECT to_regclass('public.part_1')"), "");
    EXPECT_EQ(ask(*target_, "SELECT to_regclass('public.other')"), "");
}

TEST_F(StructureTest, GivesTablesTheNamesOfTheTarget) {
    must(*source_, R"(
        CREATE TABLE public.person (id serial PRIMARY KEY, n bigint GENERATED ALWAYS AS IDENTITY,
            name text, boss integer REFERENCES public.person);
        CREATE INDEX person_name ON public.person (name);
        CREATE STATISTICS public.person_stat ON id, name FROM public.person;
        CREATE TABLE public.pet (id integer PRIMARY KEY, owner integer REFERENCES public.person);
        COMMENT ON COLUMN public.person.name IS 'n';
        CREATE TABLE public.log (a integer, b text) PARTITION BY RANGE (a);
        CREATE TABLE public.log_0 PARTITION OF public.log FOR VALUES FROM (0) TO (10);
        CREATE UNIQUE INDEX log_a ON public.log (a);
        INSERT INTO public.person (name) VALUES ('a'), ('b'), ('c');
    )");
    const std::vector<TablePair> tables = {
        {{"public", "person"}, {"front \"end\"", "People"}},
        {{"public", "pet"}, {"public", "pet"}},
        {{"public", "log"}, {"front \"end\"", "log"}},
    };
    bring(tables);
    EXPECT_THAT(compare(tables), IsEmpty());
    EXPECT_EQ(ask(*target_, "SELECT to_regclass('public.person')"), "");
    const auto dumped = dump(target_url_);
    EXPECT_THAT(dumped, HasSubstr(R"(CREATE INDEX person_name ON "front ""end"""."People")"));
    EXPECT_THAT(dumped, HasSubstr(R"(REFERENCES "front ""end"""."People"(id))"));
    EXPECT_THAT(dumped, HasSubstr(R"(nextval('"front ""end""".person_id_seq'::regclass))"));
    EXPECT_THAT(dumped, HasSubstr(R"(ATTACH PARTITION "front ""end""".log_0)"));
    EXPECT_THAT(dumped, HasSubstr(R"(COMMENT ON COLUMN "front ""end"""."People".name)"));
    must(*target_, R"(INSERT INTO "front ""end"""."People" (name) VALUES ('d'))");
    EXPECT_EQ(ask(*target_, R"(SELECT id FROM "front ""end"""."People")"), "4");
    EXPECT_EQ(ask(*target_, R"(SELECT n FROM "front ""end"""."People")"), "4");
}

TEST_F(StructureTest, LeavesATableThatExistsAndTellsHowItDiffers) {
    must(*source_, R"(
        CREATE TYPE public.mood AS ENUM ('a', 'b');
        CREATE TABLE public.t (id integer PRIMARY KEY, name varchar(20), m public.mood, x integer);
        CREATE TABLE public.fresh (id integer PRIMARY KEY, m public.mood UNIQUE);
    )");
    must(*target_, R"(
        CREATE TYPE public.mood AS ENUM ('b');
        CREATE TABLE public.t (id integer, name varchar(10), m public.mood, must integer NOT NULL);
    )");
    const auto tables = all_tables();
    const auto structure = read(tables);
    const auto before = ask(*target_, "SELECT 'public.t'::regclass::oid");
    const auto report = create(structure, StructurePhase::BeforeLoad);
    EXPECT_EQ(ask(*target_, "SELECT 'public.t'::regclass::oid"), before);
    EXPECT_THAT(report.existed, Contains("table public.t"));
    EXPECT_THAT(report.existed, Contains("type public.mood"));
    EXPECT_THAT(report.made, Contains("table public.fresh"));
    EXPECT_THAT(report.existing_tables, testing::ElementsAre(model::TableName{"public", "t"}));
    ASSERT_EQ(report.findings.size(), compare(tables).size());

    // Every finding's own SQL mends it.
    for (const auto& finding : report.findings) {
        must(*target_, finding.mend);
    }
    EXPECT_GE(report.findings.size(), 5U);
    EXPECT_THAT(compare(tables), IsEmpty());

    auto after = loop_.run(
        create_structure(*target_, structure, StructurePhase::AfterLoad, report.existing_tables)
    );
    ASSERT_TRUE(after);
    EXPECT_THAT(after->made, Contains("constraint fresh_m_key on public.fresh"));
}

TEST_F(StructureTest, CanBeRepeatedAndGoesOnWhereItStopped) {
    must(*source_, R"(
        CREATE TABLE public.a (id serial PRIMARY KEY, b text UNIQUE);
        CREATE TABLE public.c (id integer PRIMARY KEY, a integer REFERENCES public.a);
        CREATE INDEX c_a ON public.c (a);
    )");
    const auto structure = read(all_tables());
    create(structure, StructurePhase::BeforeLoad);
    must(
        *target_,
        "INSERT INTO public.a VALUES (1, 'x'), (2, 'x');"
        "INSERT INTO public.c VALUES (1, 9)"
    );
    auto first = loop_.run(create_structure(*target_, structure, StructurePhase::AfterLoad));
    ASSERT_TRUE(first);
    ASSERT_EQ(first->failed.size(), 2U);
    EXPECT_THAT(first->made, Contains("index public.c_a"));
    EXPECT_THAT(first->failed[0].sql, HasSubstr("UNIQUE"));
    EXPECT_THAT(first->failed[0].error, HasSubstr("drivers.constraint"));

    must(*target_, "DELETE FROM public.a WHERE id = 2; DELETE FROM public.c");
    const auto second = create(structure, StructurePhase::AfterLoad);
    EXPECT_EQ(second.made.size(), 2U);
    const auto third = create(structure, StructurePhase::BeforeLoad);
    EXPECT_THAT(third.made, IsEmpty());
    EXPECT_EQ(dump(target_url_), dump(source_url_));
}

TEST_F(StructureTest, MakesAllOrNothingBeforeTheLoad) {
    must(*source_, R"(
        CREATE TABLE public.a (id integer PRIMARY KEY);
        CREATE TABLE public.z (id integer CONSTRAINT taken PRIMARY KEY);
    )");
    must(*target_, "CREATE VIEW public.taken AS SELECT 1");
    const auto structure = read(all_tables());
    const auto report =
        loop_.run(create_structure(*target_, structure, StructurePhase::BeforeLoad));
    ASSERT_FALSE(report);
    EXPECT_THAT(report.error().detail(), HasSubstr("taken on public.z"));
    EXPECT_EQ(ask(*target_, "SELECT to_regclass('public.a')"), "");
}

TEST_F(StructureTest, NamesTablesThatTheSourceDoesNotHave) {
    const auto structure =
        loop_.run(read_structure(*source_, {{{"public", "ghost"}, {"public", "ghost"}}}));
    ASSERT_FALSE(structure);
    EXPECT_EQ(structure.error().code(), ErrorCode::DbNoTable);
    EXPECT_THAT(structure.error().detail(), HasSubstr("public.ghost"));
    EXPECT_EQ(ask(*source_, "SELECT 1"), "1");
}

/// The statements of a dump.
std::set<std::string> statements_of(const std::string& dump) {
    std::set<std::string> list;
    for (size_t begin = 0; begin < dump.size();) {
        const auto end = std::min(dump.find(";\n", begin), dump.size());
        list.insert(dump.substr(begin, end - begin));
        begin = end + 2;
    }
    return list;
}

bool has_any(const std::string& statement, std::initializer_list<const char*> words) {
    return std::ranges::any_of(words, [&statement](const char* word) {
        return statement.find(word) != std::string::npos;
    });
}

/// What of a dump must be the same at both ends: all that belongs to tables, but for what the
/// structure says itself that it changes or leaves out.
class Expected {
public:
    explicit Expected(const Structure& structure) {
        for (const auto& entry : structure.left_out) {
            const auto name = entry.object.substr(0, entry.object.find(" of "));
            if (entry.kind == "inheritance" || entry.kind == "typed table") {
                changed_.insert(name);
            } else if (entry.kind == "table") {
                absent_.insert(name);
            }
        }
    }

    bool at_both_ends(const std::string& statement) const {
        if (statement.starts_with("CREATE MATERIALIZED") || mentions(statement, absent_) ||
            has_any(statement, {"ROW LEVEL SECURITY", " TRIGGER", " RULE ", "LOGGED\n"})) {
            return false;
        }
        const bool shape = statement.starts_with("CREATE TABLE") ||
                           has_any(statement, {"SET DEFAULT", " CHECK (", "GENERATED"});
        return !shape || !mentions(statement, changed_);
    }

private:
    static bool mentions(const std::string& statement, const std::set<std::string>& names) {
        return std::ranges::any_of(names, [&statement](const std::string& name) {
            const auto at = statement.find(" " + name);
            return at != std::string::npos &&
                   std::string("\n (.").find(statement[at + 1 + name.size()]) != std::string::npos;
        });
    }

    std::set<std::string> changed_;
    std::set<std::string> absent_;
};

bool is_of_table(const std::string& statement) {
    return std::ranges::any_of(
        std::initializer_list<const char*>{
            "ALTER TABLE",
            "CREATE TABLE",
            "CREATE UNLOGGED TABLE",
            "CREATE INDEX",
            "CREATE UNIQUE INDEX",
            "ALTER INDEX",
            "CREATE STATISTICS"
        },
        [&statement](const char* word) { return statement.starts_with(word); }
    );
}

void StructureTest::expect_sample_arrives(const std::string& database) {
    const auto sample_url = url_of(1, database);
    source_ = connect(sample_url);
    const auto tables = all_tables();
    EXPECT_GT(tables.size(), 50U);
    auto structure = read(tables);
    create(structure, StructurePhase::BeforeLoad);
    create(structure, StructurePhase::AfterLoad);

    // Materialized views have indexes too, and are no tables.
    const auto views =
        ask(*source_,
            "SELECT string_agg(format(' --exclude-table=%I.%I', n.nspname, c.relname), '') "
            "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'm'");
    const auto source = statements_of(dump(sample_url, views));
    const auto target = statements_of(dump(target_url_));
    const Expected expected(structure);
    for (const auto& statement : target) {
        const bool changed = has_any(statement, {"CREATE SEQUENCE", "AS IDENTITY"});
        if (expected.at_both_ends(statement) && !changed && !source.contains(statement)) {
            ADD_FAILURE() << "not at the source: " << statement;
        }
    }
    for (const auto& statement : source) {
        if (is_of_table(statement) && expected.at_both_ends(statement) &&
            !target.contains(statement)) {
            ADD_FAILURE() << "not at the target: " << statement;
        }
    }
}

TEST_F(StructureTest, BringsSchemasThatNobodyHereDesigned) {
    const auto* names = std::getenv("QIAO_SAMPLE_DATABASES");
    if (names == nullptr) {
        GTEST_SKIP() << "wants databases loaded by tools/sample_schemas.py on the first server";
    }
    std::istringstream list(names);
    for (std::string database; std::getline(list, database, ',');) {
        must(*connect(url_of(2, "postgres")), "DROP DATABASE IF EXISTS sample_" + database);
        must(
            *connect(url_of(2, "postgres")),
            "CREATE DATABASE sample_" + database + " TEMPLATE template0"
        );
        target_url_ = url_of(2, "sample_" + database);
        target_ = connect(target_url_);
        expect_sample_arrives(database);
    }
}

}  // namespace
}  // namespace qiao::drivers::postgres
