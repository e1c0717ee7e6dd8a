#include "qiao/drivers/postgres/postgres_fixture.h"
#include "qiao/drivers/postgres/table_reader.h"
#include "qiao/drivers/postgres/target_session.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>

namespace qiao::drivers::postgres {
namespace {

using model::Change;
using model::OldImage;
using model::Op;
using model::TupleBuilder;
using model::Value;
using model::ValueKind;

struct TypedColumn {
    std::string name;
    std::string type;
};

const std::vector<TypedColumn>& typed_columns() {
    static const std::vector<TypedColumn> kColumns{
        {"k1", "int8"},
        {"k2", "text"},
        {"c_bool", "bool"},
        {"c_int2", "int2"},
        {"c_int4", "int4"},
        {"c_float4", "float4"},
        {"c_float8", "float8"},
        {"c_numeric", "numeric"},
        {"c_money2", "numeric(12,2)"},
        {"c_text", "text"},
        {"c_varchar", "varchar(300)"},
        {"c_char", "char(12)"},
        {"c_bytea", "bytea"},
        {"c_date", "date"},
        {"c_time", "time"},
        {"c_ts", "timestamp"},
        {"c_tstz", "timestamptz"},
        {"c_interval", "interval"},
        {"c_uuid", "uuid"},
        {"c_json", "json"},
        {"c_jsonb", "jsonb"},
        {"c_inet", "inet"},
        {"c_bit", "bit(5)"},
        {"c_varbit", "varbit"},
        {"c_point", "point"},
        {"c_xml", "xml"},
        {"c_ints", "int4[]"},
        {"c_texts", "text[]"},
        {"c_range", "int4range"},
        {"c_mood", "public.mood"},
        {"c_moods", "public.mood[]"},
        {"c_email", "public.email"},
        {"c_pair", "public.pair"},
        {"c_ci", "public.citext"},
        {"c_tsv", "tsvector"},
        {"Odd \"name\"", "int4"},
    };
    return kColumns;
}

/// Random values as SQL literals.
class Literals {
public:
    explicit Literals(uint32_t seed) : random_(seed) {}

    size_t below(size_t n) { return random_() % n; }

    std::string text(bool key = false) {
        static const std::vector<std::string> kPieces{"a",  "Z",   "'",   "\"",   "\\", "\n", "\t",
                                                      "\r", " ",   "桥",  "é",    "😀", "{",  "}",
                                                      ",",  "\\N", "\\.", "NULL", "0",  "%",  "$1",
                                                      "",   "x",   "-",   "(",    ")"};
        std::string text;
        // Some values are big enough to be kept out of line; no index takes one of them.
        const size_t pieces = !key && below(20) == 0 ? 3000 : below(8);
        for (size_t i = 0; i < pieces; ++i) {
            text += kPieces[below(kPieces.size())];
        }
        return text;
    }

    std::string of(const TypedColumn& column) {
        if (column.name.starts_with('c') && below(6) == 0) {
            return "NULL";
        }
        const auto plain = column.name == "k2" ? quote_literal(text(true)) : bare(column.type);
        return plain + "::" + column.type;
    }

private:
    std::string number() { return std::to_string(static_cast<int>(below(2000000)) - 1000000); }

    std::string short_text(size_t most) {
        std::string text;
        for (auto left = below(most); left > 0; --left) {
            text += "ab'\\\" Z9"[below(8)];
        }
        return text;
    }

    std::string one_of(std::initializer_list<const char*> all) {
        return quote_literal(all.begin()[below(all.size())]);
    }

    std::string bare(const std::string& type) {
        if (type == "text" || type == "public.citext") {
            return quote_literal(text());
        }
        if (type == "int2") {
            return quote_literal(std::to_string(static_cast<int>(below(60000)) - 30000));
        }
        if (type == "float4" || type == "float8") {
            return one_of({"-0", "0", "NaN", "Infinity", "-Infinity", "1.17549e-38", "0.1", "1e30"}
            );
        }
        if (type == "numeric") {
            return one_of({"1.0", "1.00", "NaN", "-0.001", "123456789012345678901234567890.5", "0"}
            );
        }
        if (type == "varchar(300)" || type == "char(12)") {
            return quote_literal(short_text(12));
        }
        if (type == "bytea") {
            return fmt::format("decode(repeat('{:02x}', {}), 'hex')", below(256), below(50));
        }
        if (type == "json" || type == "jsonb") {
            return one_of({"{\"a\": [1, 2.0, null]}", "\"q\\\"\"", "[]", "{ \"b\":  1, \"a\":2 }"});
        }
        if (type == "int4[]") {
            return one_of({"{}", "{1,NULL,-3}", "{{1,2},{3,4}}", "[2:3]={7,8}"});
        }
        if (type == "text[]") {
            return one_of({"{}", "{\"a,b\",NULL,\"NULL\",\"\\\\\"}", "{{\"\"},{\" \"}}"});
        }
        return rare(type);
    }

    std::string rare(const std::string& type) {
        static const std::map<std::string, std::vector<const char*>> kValues{
            {"bool", {"true", "false"}},
            {"date", {"2026-02-28", "infinity", "0001-01-01 BC", "1999-12-31"}},
            {"time", {"00:00", "23:59:59.999999", "24:00"}},
            {"timestamp", {"2026-01-01 01:02:03.000004", "-infinity", "4713-01-01 00:00 BC"}},
            {"timestamptz", {"2026-01-01 01:02:03+08", "infinity", "1900-01-01 00:00:00+00"}},
            {"interval", {"1 mon -3 days 04:05:06.7", "00:00:00", "-178 years"}},
            {"uuid", {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}},
            {"inet", {"10.0.0.1", "10.0.0.0/8", "2001:db8::1/64"}},
            {"bit(5)", {"10101", "00000"}},
            {"varbit", {"", "1", "101010101010101"}},
            {"point", {"(1.5,-2)", "(0,-0)", "(NaN,Infinity)"}},
            {"xml", {"<a b=\"c\">桥&amp;</a>", "<x/>"}},
            {"int4range", {"empty", "[1,5)", "(,7)", "(,)"}},
            {"public.mood", {"sad", "ok", "very happy"}},
            {"public.moods", {}},
            {"public.mood[]", {"{}", "{sad,NULL,\"very happy\"}"}},
            {"public.email", {"a@b", "\"x y\"@桥"}},
            {"public.pair", {"(1,x)", "(,\"a,\\\"b\")", "(3,)"}},
            {"tsvector", {"'a':1 'b':2A", "'it''s'"}},
        };
        const auto found = kValues.find(type);
        if (found == kValues.end()) {
            return quote_literal(number());
        }
        return quote_literal(found->second[below(found->second.size())]);
    }

    std::mt19937 random_;
};

/// Tuples of rows of one table, by key, with the form of each value chosen by chance.
using Images = std::map<std::string, Bytes>;

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
        target_ = std::make_unique<PostgresTarget>(runtime(), url_, TargetOptions{}, stop_);
        auto session = loop_.run(target_->connect());
        ASSERT_TRUE(session) << session.error().to_string();
        session_ = *std::move(session);
    }

    void TearDown() override {
        session_.reset();
        PostgresTest::TearDown();
    }

    /// Makes the table of many types in both schemas.
    void make_typed(const std::string& key) {
        std::string columns;
        for (const auto& column : typed_columns()) {
            columns += quote_identifier(column.name) + " " + column.type + ", ";
        }
        for (const auto* schema : {"a", "b"}) {
            run(fmt::format("CREATE TABLE {}.t ({}{})", schema, columns, key));
        }
    }

    std::unique_ptr<TableReader> reader() {
        auto made = loop_.run(PostgresTableReader::open(runtime(), url_, stop_));
        EXPECT_TRUE(made) << made.error().to_string();
        return made ? *std::move(made) : nullptr;
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

    /// Reads a.t in text or binary form where that is safe.
    Images read(bool binary, const std::string& table = "t") {
        const auto source = reader();
        const auto shape = loop_.run(source->describe({"a", table}));
        EXPECT_TRUE(shape);
        std::vector<CanonicalColumn> columns;
        for (const auto& column : shape->schema.columns) {
            const bool safe =
                std::ranges::find(shape->binary_safe, column.name) != shape->binary_safe.end();
            using Form = CanonicalColumn::Form;
            columns.push_back({column.name, binary && safe ? Form::Binary : Form::Text});
        }
        Images images;
        size_t number = 0;
        const TableReader::Visit visit = [&](const model::Tuple& row) {
            images[fmt::format("{:08}", number++)] = to_bytes(row.bytes());
        };
        const model::TableName name{"a", table};
        const auto done = loop_.run(source->scan(name, columns, visit, stop_));
        EXPECT_TRUE(done) << done.error().to_string();
        return images;
    }

    WriteResult write(
        const model::TableSchema& schema,
        const TargetTable& target,
        Op op,
        const std::vector<Change>& changes,
        WriteMode mode
    ) {
        std::vector<const Change*> list;
        for (const auto& change : changes) {
            list.push_back(&change);
        }
        auto result = loop_.run(session_->write({&schema, &target, op, list}, mode));
        EXPECT_TRUE(result) << result.error().to_string();
        return result ? *std::move(result) : WriteResult{};
    }

    void begin() { ASSERT_TRUE(loop_.run(session_->begin())); }

    void commit() {
        const auto outcome = loop_.run(session_->commit());
        ASSERT_EQ(outcome.kind, CommitOutcome::Kind::Committed)
            << (outcome.error ? outcome.error->to_string() : "");
    }

    void expect_equal(const std::string& table = "t") {
        const auto all = "SELECT t::text FROM {}." + table + " t ORDER BY t::text COLLATE \"C\"";
        const auto source = lines(fmt::format(fmt::runtime(all), "a"));
        const auto target = lines(fmt::format(fmt::runtime(all), "b"));
        ASSERT_EQ(source.size(), target.size());
        for (size_t i = 0; i < source.size(); ++i) {
            ASSERT_EQ(source[i], target[i]);
        }
    }

    std::unique_ptr<PostgresTarget> target_;
    std::unique_ptr<TargetSession> session_;
};

model::Tuple tuple(const Bytes& bytes) { return *model::Tuple::parse(bytes); }

struct Way {
    const char* name;
    WriteMode mode;
    int form;  ///< 0 text, 1 binary where safe, 2 a mixture row by row
};

class RandomWriteTest : public WriteTest, public ::testing::WithParamInterface<Way> {
protected:
    void fill(Literals& literals, int rows) {
        for (int i = 0; i < rows; ++i) {
            std::string values;
            for (const auto& column : typed_columns()) {
                values += values.empty() ? std::to_string(next_key_++) : ", " + literals.of(column);
            }
            run("INSERT INTO a.t VALUES (" + values + ")");
        }
    }

    /// The rows of a.t in the forms of this way, in order of the key.
    std::vector<Bytes> images(Literals& literals) {
        const auto text = read(false);
        const auto binary = read(true);
        std::map<int, Bytes> by_key;
        for (const auto& [place, image] : text) {
            const bool as_binary =
                GetParam().form == 1 || (GetParam().form == 2 && literals.below(2) == 0);
            const int key =
                std::stoi(std::string(as_text(model::Tuple::parse(image)->values()[0].bytes)));
            by_key[key] = as_binary ? binary.at(place) : image;
        }
        std::vector<Bytes> all;
        for (auto& [key, image] : by_key) {
            all.push_back(std::move(image));
        }
        return all;
    }

    int next_key_ = 1;
};

Bytes key_image(const Bytes& image) {
    const auto values = tuple(image).values();
    TupleBuilder builder(static_cast<uint16_t>(values.size()));
    for (size_t i = 0; i < values.size(); ++i) {
        i < 2 ? builder.add(values[i]) : builder.null();
    }
    return std::move(builder).take();
}

Bytes without(const Bytes& image, const std::vector<size_t>& unchanged) {
    const auto values = tuple(image).values();
    TupleBuilder builder(static_cast<uint16_t>(values.size()));
    for (size_t i = 0; i < values.size(); ++i) {
        const bool left = std::ranges::find(unchanged, i) != unchanged.end();
        left ? builder.unchanged() : builder.add(values[i]);
    }
    return std::move(builder).take();
}

// Spec: R-22
TEST_P(RandomWriteTest, EveryTypeArrivesAsTheSourceHasIt) {
    for (uint32_t seed = 1; seed <= 3; ++seed) {
        Literals literals(seed);
        run("DROP TABLE IF EXISTS a.t, b.t");
        make_typed("PRIMARY KEY (k1, k2)");
        const auto schema = schema_of("a");
        const auto target = describe();
        fill(literals, 60);

        auto rows = images(literals);
        std::vector<Change> changes;
        for (const auto& row : rows) {
            changes.push_back({.op = Op::Insert, .new_row = tuple(row)});
        }
        begin();
        auto result = write(schema, target, Op::Insert, changes, GetParam().mode);
        ASSERT_FALSE(result.failure) << result.failure->error.to_string();
        commit();
        expect_equal();

        // Some columns of all rows change; some of the others are not sent.
        std::string set;
        std::vector<size_t> unchanged;
        for (size_t i = 2; i < typed_columns().size(); ++i) {
            const auto& column = typed_columns()[i];
            if (literals.below(3) == 0) {
                set += fmt::format(
                    "{}{} = {}",
                    set.empty() ? "" : ", ",
                    quote_identifier(column.name),
                    literals.of(column)
                );
            } else if (literals.below(3) == 0) {
                unchanged.push_back(i);
            }
        }
        if (!set.empty()) {
            run("UPDATE a.t SET " + set);
        }
        rows = images(literals);
        std::vector<Bytes> sent;
        for (const auto& row : rows) {
            sent.push_back(without(row, unchanged));
        }
        changes.clear();
        for (const auto& row : sent) {
            changes.push_back({.op = Op::Update, .new_row = tuple(row)});
        }
        begin();
        result = write(schema, target, Op::Update, changes, GetParam().mode);
        ASSERT_FALSE(result.failure) << result.failure->error.to_string();
        EXPECT_EQ(result.missed, 0);
        commit();
        expect_equal();

        // Keys move away; the old key comes along.
        const auto before = images(literals);
        run("UPDATE a.t SET k1 = k1 + 100000, k2 = k2 || '''\\'");
        rows = images(literals);
        ASSERT_EQ(before.size(), rows.size());
        std::vector<Bytes> old_keys;
        for (const auto& row : before) {
            old_keys.push_back(key_image(row));
        }
        changes.clear();
        for (size_t i = 0; i < rows.size(); ++i) {
            changes.push_back(
                {.op = Op::Update,
                 .old_image = OldImage::Key,
                 .old_row = tuple(old_keys[i]),
                 .new_row = tuple(rows[i])}
            );
        }
        begin();
        result = write(schema, target, Op::Update, changes, GetParam().mode);
        ASSERT_FALSE(result.failure) << result.failure->error.to_string();
        EXPECT_EQ(result.missed, 0);
        commit();
        expect_equal();

        // Two of three rows go.
        old_keys.clear();
        for (size_t i = 0; i < rows.size(); ++i) {
            if (i % 3 != 0) {
                old_keys.push_back(key_image(rows[i]));
            }
        }
        changes.clear();
        for (const auto& key : old_keys) {
            changes.push_back({.op = Op::Delete, .old_image = OldImage::Key, .old_row = tuple(key)}
            );
        }
        begin();
        result = write(schema, target, Op::Delete, changes, GetParam().mode);
        ASSERT_FALSE(result.failure) << result.failure->error.to_string();
        EXPECT_EQ(result.missed, 0);
        commit();
        EXPECT_EQ(value("SELECT count(*) FROM b.t"), std::to_string(rows.size() - changes.size()));
    }
}

INSTANTIATE_TEST_SUITE_P(
    Ways,
    RandomWriteTest,
    ::testing::Values(
        Way{"RowsAsText", WriteMode::RowByRow, 0},
        Way{"RowsInBinary", WriteMode::RowByRow, 1},
        Way{"RowsMixed", WriteMode::RowByRow, 2},
        Way{"SetAsText", WriteMode::SetBased, 0},
        Way{"SetInBinary", WriteMode::SetBased, 1},
        Way{"SetMixed", WriteMode::SetBased, 2}
    ),
    [](const auto& way) { return way.param.name; }
);

/// Changes of a table of simple columns, as text.
class SimpleChanges {
public:
    explicit SimpleChanges(size_t columns) : columns_(columns) {}

    using Row = std::vector<std::optional<std::string>>;

    void insert(const Row& row) { changes_.push_back({.op = Op::Insert, .new_row = keep(row)}); }

    void update(const Row& row) { changes_.push_back({.op = Op::Update, .new_row = keep(row)}); }

    void update(OldImage kind, const Row& old_row, const Row& row) {
        changes_.push_back(
            {.op = Op::Update, .old_image = kind, .old_row = keep(old_row), .new_row = keep(row)}
        );
    }

    void remove(OldImage kind, const Row& row) {
        changes_.push_back({.op = Op::Delete, .old_image = kind, .old_row = keep(row)});
    }

    const std::vector<Change>& all() const { return changes_; }

private:
    model::Tuple keep(const Row& row) {
        TupleBuilder builder(static_cast<uint16_t>(columns_));
        for (size_t i = 0; i < columns_; ++i) {
            i < row.size() && row[i] ? builder.text(*row[i]) : builder.null();
        }
        kept_.push_back(std::move(builder).take());
        return tuple(kept_.back());
    }

    size_t columns_;
    std::deque<Bytes> kept_;
    std::vector<Change> changes_;
};

TEST_F(WriteTest, TellsWhichRowsWereMissed) {
    run("CREATE TABLE a.t (id int PRIMARY KEY, x text); CREATE TABLE b.t (LIKE a.t INCLUDING ALL);"
        "INSERT INTO b.t SELECT n, 'old' FROM generate_series(0, 99, 2) n");
    const auto schema = schema_of("a");
    const auto target = describe();
    SimpleChanges updates(2);
    SimpleChanges deletes(2);
    for (int i = 0; i < 20; ++i) {
        updates.update({std::to_string(i), "new"});
        deletes.remove(OldImage::Key, {std::to_string(i)});
    }
    begin();
    auto result = write(schema, target, Op::Update, updates.all(), WriteMode::RowByRow);
    EXPECT_EQ(result.missed, 10);
    EXPECT_THAT(result.missed_at, testing::ElementsAre(1, 3, 5, 7, 9, 11, 13, 15, 17, 19));
    result = write(schema, target, Op::Update, updates.all(), WriteMode::SetBased);
    EXPECT_EQ(result.missed, 10);
    result = write(schema, target, Op::Delete, deletes.all(), WriteMode::SetBased);
    EXPECT_EQ(result.missed, 10);
    result = write(schema, target, Op::Delete, deletes.all(), WriteMode::RowByRow);
    EXPECT_EQ(result.missed, 20);
    EXPECT_EQ(result.missed_at.size(), 20);
    commit();
    EXPECT_EQ(value("SELECT count(*), count(*) FILTER (WHERE x = 'new') FROM b.t"), "40|0");
}

TEST_F(WriteTest, TellsTheRowThatBreaksAConstraint) {
    run("CREATE TABLE a.t (id int PRIMARY KEY, x text); "
        "CREATE TABLE b.t (id int PRIMARY KEY, x text UNIQUE CHECK (x <> 'bad'));"
        "INSERT INTO b.t VALUES (100, 'taken')");
    const auto schema = schema_of("a");
    const auto target = describe();
    EXPECT_FALSE(target.plain());
    SimpleChanges changes(2);
    for (int i = 0; i < 30; ++i) {
        changes.insert({std::to_string(i), i == 17 ? "taken" : std::to_string(i)});
    }
    begin();
    ASSERT_TRUE(loop_.run(session_->savepoint()));
    auto result = write(schema, target, Op::Insert, changes.all(), WriteMode::RowByRow);
    ASSERT_TRUE(result.failure);
    EXPECT_EQ(result.failure->index, 17);
    EXPECT_EQ(result.failure->error.code(), ErrorCode::DbConstraint);
    EXPECT_EQ(result.failure->error.detail().find("taken"), std::string::npos);
    ASSERT_TRUE(loop_.run(session_->rollback_to_savepoint()));
    result = write(schema, target, Op::Insert, changes.all(), WriteMode::SetBased);
    ASSERT_TRUE(result.failure);
    EXPECT_EQ(result.failure->error.code(), ErrorCode::DbConstraint);
    ASSERT_TRUE(loop_.run(session_->rollback_to_savepoint()));
    const std::vector<Change> good(changes.all().begin(), changes.all().begin() + 17);
    result = write(schema, target, Op::Insert, good, WriteMode::RowByRow);
    EXPECT_FALSE(result.failure);
    ASSERT_TRUE(loop_.run(session_->release_savepoint()));
    commit();
    EXPECT_EQ(value("SELECT count(*) FROM b.t"), "18");
}

TEST_F(WriteTest, WritesIdentityAndLeavesGeneratedColumnsAlone) {
    const auto* const table =
        "CREATE TABLE {}.t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, x int, "
        "g int GENERATED ALWAYS AS (x * 2) STORED, n int GENERATED ALWAYS AS IDENTITY)";
    // PostgreSQL takes several identity columns.
    run(fmt::format(fmt::runtime(table), "a"));
    run(fmt::format(fmt::runtime(table), "b"));
    const auto schema = schema_of("a");
    const auto target = describe();
    for (const auto mode : {WriteMode::RowByRow, WriteMode::SetBased}) {
        run("TRUNCATE b.t");
        SimpleChanges inserts(4);
        SimpleChanges updates(4);
        SimpleChanges moved(4);
        for (int i = 0; i < 20; ++i) {
            inserts.insert({std::to_string(1000 + i), "1", "99", std::to_string(i)});
            updates.update({std::to_string(1000 + i), "7", "99", std::to_string(i)});
            moved.update({std::to_string(1000 + i), "8", "99", std::to_string(i + 1)});
        }
        begin();
        auto result = write(schema, target, Op::Insert, inserts.all(), mode);
        ASSERT_FALSE(result.failure) << result.failure->error.to_string();
        result = write(schema, target, Op::Update, updates.all(), mode);
        ASSERT_FALSE(result.failure) << result.failure->error.to_string();
        EXPECT_EQ(result.missed, 0);
        commit();
        EXPECT_EQ(
            value("SELECT count(*), min(id), max(id), min(x), min(g), max(n) FROM b.t"),
            "20|1000|1019|7|14|19"
        );
        // A change that the target's identity forbids is told as a missed row, not lost.
        begin();
        result = write(schema, target, Op::Update, moved.all(), mode);
        EXPECT_EQ(result.missed, 20);
        ASSERT_TRUE(loop_.run(session_->rollback()));
    }
}

TEST_F(WriteTest, ARowIsMetAsAWholeWithoutAKey) {
    run("CREATE TABLE a.t (x numeric, j json, y text); ALTER TABLE a.t REPLICA IDENTITY FULL;"
        "CREATE TABLE b.t (LIKE a.t);"
        "INSERT INTO b.t VALUES (1.0, '{\"a\":1}', NULL), (1.00, '{\"a\":1}', NULL),"
        " (1.0, '{\"a\":1}', ''), (1.0, '{\"a\":1}', NULL)");
    const auto schema = schema_of("a");
    ASSERT_EQ(schema.identity, model::Identity::Full);
    const auto target = describe();
    SimpleChanges deletes(3);
    deletes.remove(OldImage::Full, {"1.00", "{\"a\":1}", std::nullopt});
    deletes.remove(OldImage::Full, {"1.0", "{\"a\":1}", std::nullopt});
    deletes.remove(OldImage::Full, {"1", "{\"a\":1}", std::nullopt});
    begin();
    auto result = write(schema, target, Op::Delete, deletes.all(), WriteMode::SetBased);
    ASSERT_FALSE(result.failure) << result.failure->error.to_string();
    EXPECT_THAT(result.missed_at, testing::ElementsAre(2));
    SimpleChanges updates(3);
    updates.update(
        OldImage::Full, {"1.0", "{\"a\":1}", std::nullopt}, {"2", "{\"a\":1}", std::nullopt}
    );
    result = write(schema, target, Op::Update, updates.all(), WriteMode::RowByRow);
    ASSERT_FALSE(result.failure) << result.failure->error.to_string();
    EXPECT_EQ(result.missed, 0);
    commit();
    EXPECT_THAT(
        lines("SELECT * FROM b.t ORDER BY x"),
        testing::ElementsAre("1.0|{\"a\":1}|", "2|{\"a\":1}|<null>")
    );
}

TEST_F(WriteTest, TheTargetsOwnKeyServesAWholeOldRow) {
    run("CREATE TABLE a.t (id int, x text); ALTER TABLE a.t REPLICA IDENTITY FULL;"
        "CREATE TABLE b.t (id int PRIMARY KEY, x text); INSERT INTO b.t VALUES (1, 'drifted')");
    SimpleChanges updates(2);
    updates.update(OldImage::Full, {"1", "old"}, {"2", "new"});
    begin();
    const auto target = describe();
    const auto result =
        write(schema_of("a"), target, Op::Update, updates.all(), WriteMode::RowByRow);
    ASSERT_FALSE(result.failure) << result.failure->error.to_string();
    EXPECT_EQ(result.missed, 0);
    commit();
    EXPECT_EQ(value("SELECT * FROM b.t"), "2|new");
}

TEST_F(WriteTest, SaysWhatTheTargetLacks) {
    run("CREATE TABLE a.t (id int PRIMARY KEY, x varchar(30), n numeric(8,2));"
        "CREATE TABLE b.t (id int); CREATE TABLE b.nokey (id int, x text, n numeric)");
    SimpleChanges changes(3);
    changes.update({"1", "x", "1"});
    begin();
    auto result = write(schema_of("a"), describe(), Op::Update, changes.all(), WriteMode::RowByRow);
    ASSERT_TRUE(result.failure);
    EXPECT_EQ(result.failure->error.code(), ErrorCode::ApplyColumns);
    EXPECT_EQ(
        result.failure->error.detail(),
        "ALTER TABLE \"b\".\"t\" ADD COLUMN \"x\" \"pg_catalog\".\"varchar\"(30);"
    );
    result =
        write(schema_of("a"), describe("nokey"), Op::Update, changes.all(), WriteMode::RowByRow);
    ASSERT_TRUE(result.failure);
    EXPECT_EQ(result.failure->error.code(), ErrorCode::ApplyNoKey);
    ASSERT_TRUE(loop_.run(session_->rollback()));
    run("ALTER TABLE b.t ADD COLUMN \"x\" \"pg_catalog\".\"varchar\"(30)");
}

TEST_F(WriteTest, OtherTypesAtTheTargetTakeTextAndRefuseForeignBinary) {
    run("CREATE TABLE a.t (id int PRIMARY KEY, x varchar(30), n int);"
        "CREATE TABLE b.t (id bigint PRIMARY KEY, x text, n numeric)");
    const auto schema = schema_of("a");
    const auto target = describe();
    for (const auto mode : {WriteMode::RowByRow, WriteMode::SetBased}) {
        run("TRUNCATE b.t");
        SimpleChanges inserts(3);
        SimpleChanges deletes(3);
        for (int i = 0; i < 12; ++i) {
            inserts.insert({std::to_string(i), "x", "5"});
            deletes.remove(OldImage::Key, {std::to_string(i)});
        }
        begin();
        auto result = write(schema, target, Op::Insert, inserts.all(), mode);
        ASSERT_FALSE(result.failure) << result.failure->error.to_string();
        result = write(schema, target, Op::Delete, deletes.all(), mode);
        ASSERT_FALSE(result.failure) << result.failure->error.to_string();
        EXPECT_EQ(result.missed, 0);
        commit();
    }
    const Bytes four(4);
    const auto bytes =
        std::move(TupleBuilder(3).text("1").binary(as_bytes("v")).binary(four)).take();
    const std::vector<Change> changes{{.op = Op::Insert, .new_row = tuple(bytes)}};
    begin();
    const auto result = write(schema, target, Op::Insert, changes, WriteMode::RowByRow);
    ASSERT_TRUE(result.failure);
    EXPECT_EQ(result.failure->index, 0);
    EXPECT_EQ(result.failure->error.code(), ErrorCode::DbValue);
    EXPECT_NE(result.failure->error.detail().find("column n"), std::string::npos);
    ASSERT_TRUE(loop_.run(session_->rollback()));
}

TEST_F(WriteTest, MoreThanTheServersBufferGoesThroughOnePipeline) {
    run("CREATE TABLE a.t (id int PRIMARY KEY, x text); CREATE TABLE b.t (LIKE a.t INCLUDING ALL)");
    SimpleChanges changes(2);
    const std::string big(20'000, 'x');
    for (int i = 0; i < 2000; ++i) {
        changes.insert({std::to_string(i), big});
    }
    begin();
    const auto result =
        write(schema_of("a"), describe(), Op::Insert, changes.all(), WriteMode::RowByRow);
    ASSERT_FALSE(result.failure) << result.failure->error.to_string();
    commit();
    EXPECT_EQ(value("SELECT count(*), sum(length(x)) FROM b.t"), "2000|40000000");
}

TEST_F(WriteTest, PartitionsAreWrittenThroughTheirRoot) {
    run("CREATE TABLE a.t (id int PRIMARY KEY, x text);"
        "CREATE TABLE b.t (id int PRIMARY KEY, x text) PARTITION BY RANGE (id);"
        "CREATE TABLE b.t1 PARTITION OF b.t FOR VALUES FROM (0) TO (10);"
        "CREATE TABLE b.t2 PARTITION OF b.t FOR VALUES FROM (10) TO (100)");
    const auto schema = schema_of("a");
    const auto target = describe();
    EXPECT_TRUE(target.partitioned);
    EXPECT_TRUE(target.plain());
    for (const auto mode : {WriteMode::RowByRow, WriteMode::SetBased}) {
        SimpleChanges inserts(2);
        SimpleChanges updates(2);
        SimpleChanges deletes(2);
        for (int i = 0; i < 20; ++i) {
            inserts.insert({std::to_string(i), "x"});
            updates.update(OldImage::Key, {std::to_string(i)}, {std::to_string(i + 20), "y"});
            deletes.remove(OldImage::Key, {std::to_string(i + 20)});
        }
        begin();
        EXPECT_FALSE(write(schema, target, Op::Insert, inserts.all(), mode).failure);
        EXPECT_EQ(write(schema, target, Op::Update, updates.all(), mode).missed, 0);
        EXPECT_EQ(write(schema, target, Op::Delete, deletes.all(), mode).missed, 0);
        commit();
        EXPECT_EQ(value("SELECT count(*) FROM b.t"), "0");
    }
}

TEST_F(WriteTest, ACitextKeyIsMetByItsOwnEquality) {
    run("CREATE TABLE a.t (id public.citext PRIMARY KEY, x int);"
        "CREATE TABLE b.t (LIKE a.t INCLUDING ALL); INSERT INTO b.t VALUES ('Abc', 1)");
    SimpleChanges updates(2);
    updates.update({"aBC", "2"});
    begin();
    const auto result =
        write(schema_of("a"), describe(), Op::Update, updates.all(), WriteMode::RowByRow);
    EXPECT_EQ(result.missed, 0);
    commit();
    EXPECT_EQ(value("SELECT id, x FROM b.t"), "Abc|2");
}

TEST_F(WriteTest, TruncatesExactlyTheListedTables) {
    run("CREATE TABLE b.t (id int PRIMARY KEY); CREATE TABLE b.child (id int REFERENCES b.t);"
        "CREATE TABLE b.heir () INHERITS (b.t); INSERT INTO b.t VALUES (1); "
        "INSERT INTO b.heir VALUES (2); INSERT INTO b.child VALUES (1)");
    begin();
    ASSERT_TRUE(loop_.run(session_->savepoint()));
    const std::vector<model::TableName> one{{"b", "t"}};
    const auto refused = loop_.run(session_->truncate(one, false));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), ErrorCode::DbConstraint) << refused.error().to_string();
    ASSERT_TRUE(loop_.run(session_->rollback_to_savepoint()));
    const std::vector<model::TableName> both{{"b", "t"}, {"b", "child"}};
    const auto done = loop_.run(session_->truncate(both, true));
    ASSERT_TRUE(done) << done.error().to_string();
    commit();
    EXPECT_EQ(value("SELECT id FROM b.t"), "2");
    begin();
    ASSERT_TRUE(loop_.run(session_->delete_all({"b", "heir"})));
    commit();
    EXPECT_EQ(value("SELECT count(*) FROM b.t"), "0");
    EXPECT_TRUE(*loop_.run(session_->is_empty({"b", "t"})));
}

TEST_F(WriteTest, DeferredConstraintsSpeakWhenAsked) {
    run("CREATE TABLE a.t (id int PRIMARY KEY, p int); CREATE TABLE b.p (id int PRIMARY KEY);"
        "CREATE TABLE b.t (id int PRIMARY KEY, p int REFERENCES b.p DEFERRABLE INITIALLY DEFERRED)"
    );
    SimpleChanges changes(2);
    changes.insert({"1", "77"});
    begin();
    EXPECT_FALSE(
        write(schema_of("a"), describe(), Op::Insert, changes.all(), WriteMode::RowByRow).failure
    );
    const auto checked = loop_.run(session_->check_constraints());
    ASSERT_TRUE(checked);
    ASSERT_TRUE(checked->failure);
    EXPECT_EQ(checked->failure->error.code(), ErrorCode::DbConstraint);
    const auto outcome = loop_.run(session_->commit());
    EXPECT_EQ(outcome.kind, CommitOutcome::Kind::Failed);
}

TEST_F(WriteTest, JudgesTheTargetByItsCatalogue) {
    run("CREATE TABLE b.plain (id int PRIMARY KEY, x text CHECK (x <> ''));"
        "CREATE TABLE b.uq (id int PRIMARY KEY, x text UNIQUE);"
        "CREATE TABLE b.partial (id int PRIMARY KEY, x text); CREATE UNIQUE INDEX ON b.partial (x) "
        "WHERE x <> ''; CREATE TABLE b.expr (id int PRIMARY KEY, x text);"
        "CREATE UNIQUE INDEX ON b.expr (lower(x)); CREATE TABLE b.fk (id int PRIMARY KEY "
        "REFERENCES "
        "b.plain); CREATE TABLE b.trig (id int PRIMARY KEY); CREATE FUNCTION b.f() RETURNS trigger "
        "LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER x BEFORE INSERT ON b.trig FOR "
        "EACH ROW EXECUTE FUNCTION b.f(); CREATE TABLE b.rul (id int PRIMARY KEY); CREATE RULE r "
        "AS "
        "ON DELETE TO b.rul DO INSTEAD NOTHING; CREATE TABLE b.excl (id int PRIMARY KEY, r "
        "int4range "
        ", EXCLUDE USING gist (r WITH &&)); CREATE TABLE b.defer (id int PRIMARY KEY DEFERRABLE);"
        "CREATE TABLE b.none (id int)");
    EXPECT_TRUE(describe("uq").unique_keys.size() == 1);
    EXPECT_TRUE(describe("partial").opaque_unique);
    EXPECT_TRUE(describe("expr").opaque_unique);
    EXPECT_TRUE(describe("fk").foreign_keys_out);
    EXPECT_TRUE(describe("plain").foreign_keys_in);
    EXPECT_TRUE(describe("trig").row_triggers);
    EXPECT_TRUE(describe("rul").rules);
    EXPECT_TRUE(describe("excl").exclusion);
    EXPECT_TRUE(describe("defer").deferrable_unique);
    for (const auto* table :
         {"uq", "partial", "expr", "fk", "plain", "trig", "rul", "excl", "defer", "none"}) {
        EXPECT_FALSE(describe(table).plain()) << table;
    }
    run("DROP TABLE b.fk");
    EXPECT_TRUE(describe("plain").plain());
    const auto missing = loop_.run(session_->describe({"b", "nothing"}));
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code(), ErrorCode::DbNoTable);
}

}  // namespace
}  // namespace qiao::drivers::postgres
