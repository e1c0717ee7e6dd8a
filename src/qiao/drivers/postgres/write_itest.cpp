#include "qiao/drivers/postgres/write_fixture.h"

#include <gmock/gmock.h>

#include <deque>

namespace qiao::drivers::postgres {
namespace {

using model::Change;
using model::OldImage;
using model::Op;
using model::TupleBuilder;

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

// What was laid aside under an older shape is replayed beside rows of the newer one.
TEST_F(WriteTest, RowsOfTwoShapesDoNotShareAStatementThatNamesOtherColumns) {
    run("CREATE TABLE a.before (id int PRIMARY KEY, x text, y text);"
        "CREATE TABLE a.now (id int PRIMARY KEY, y text);"
        "CREATE TABLE b.t (LIKE a.before INCLUDING ALL); INSERT INTO b.t VALUES (1, 'a', 'b')");
    const auto target = describe();
    const auto old_row = std::move(TupleBuilder(3).text("1").text("x").unchanged()).take();
    const std::vector<Change> old_shape{{.op = Op::Update, .new_row = tuple(old_row)}};
    SimpleChanges new_shape(2);
    new_shape.update({"1", "y"});
    begin();
    const auto mode = WriteMode::RowByRow;
    EXPECT_EQ(write(schema_of("a", "before"), target, Op::Update, old_shape, mode).missed, 0);
    EXPECT_EQ(write(schema_of("a", "now"), target, Op::Update, new_shape.all(), mode).missed, 0);
    commit();
    EXPECT_EQ(value("SELECT x, y FROM b.t"), "x|y");
}

// Source: rules 21
TEST_F(WriteTest, TellsARowThatIsThereFromOneThatMeetsAnotherKey) {
    run("CREATE TABLE a.t (id int PRIMARY KEY, x text);"
        "CREATE TABLE b.t (id int CONSTRAINT \"the, key\" PRIMARY KEY, x text UNIQUE);"
        "INSERT INTO b.t VALUES (5, 'taken')");
    const auto schema = schema_of("a");
    const auto target = describe();
    for (const bool same_key : {true, false}) {
        SimpleChanges changes(2);
        for (int i = 0; i < 20; ++i) {
            const bool culprit = i == 5 && !same_key;
            changes.insert(
                {std::to_string(same_key ? i : i + 100), culprit ? "taken" : "x" + std::to_string(i)
                }
            );
        }
        for (const auto mode : {WriteMode::RowByRow, WriteMode::SetBased}) {
            begin();
            const auto result = write(schema, target, Op::Insert, changes.all(), mode);
            ASSERT_TRUE(result.failure);
            EXPECT_EQ(
                result.failure->error.code(),
                same_key ? ErrorCode::ApplyExistingRow : ErrorCode::DbConstraint
            ) << result.failure->error.to_string();
            ASSERT_TRUE(loop_.run(session_->rollback()));
        }
    }
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

/// An update of the parent changes what the child's own rules forbid to be set.
TEST_F(WriteTest, AWholeRowsIdentityColumnCanChange) {
    run("CREATE TABLE a.t (n int GENERATED ALWAYS AS IDENTITY, x text);"
        "ALTER TABLE a.t REPLICA IDENTITY FULL;"
        "CREATE TABLE b.t (n int GENERATED ALWAYS AS IDENTITY, x text);"
        "INSERT INTO b.t (x) VALUES ('a'), ('b'), ('b')");
    run("UPDATE b.t SET x = 'b'");
    SimpleChanges updates(2);
    updates.update(OldImage::Full, {"2", "b"}, {"7", "b"});
    updates.update(OldImage::Full, {"3", "b"}, {"3", "c"});
    updates.update(OldImage::Full, {"9", "b"}, {"8", "b"});
    begin();
    const auto target = describe();
    const auto result =
        write(schema_of("a"), target, Op::Update, updates.all(), WriteMode::RowByRow);
    ASSERT_FALSE(result.failure) << result.failure->error.to_string();
    EXPECT_THAT(result.missed_at, testing::ElementsAre(2));
    commit();
    EXPECT_THAT(lines("SELECT * FROM b.t ORDER BY n"), testing::ElementsAre("1|b", "3|c", "7|b"));
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

// Spec: R-01
TEST_F(WriteTest, MeetsOnlyRowsThatAreAsTheirOldImageSaysWhenThatIsWanted) {
    run("CREATE TABLE a.t (id int PRIMARY KEY, x numeric, j json, y text);"
        "ALTER TABLE a.t REPLICA IDENTITY FULL;"
        "CREATE TABLE b.t (id int PRIMARY KEY, x numeric, j json, y text, own text)");
    checks_old_rows_ = true;
    const std::string j = "{\"a\": 1}";
    for (const auto mode : {WriteMode::RowByRow, WriteMode::SetBased}) {
        run("TRUNCATE b.t; INSERT INTO b.t SELECT g, 1.0, '{\"a\": 1}', NULL, 'own'"
            " FROM generate_series(1, 30) g; UPDATE b.t SET y = 'theirs' WHERE id = 7;"
            "UPDATE b.t SET x = 1.00 WHERE id = 8; DELETE FROM b.t WHERE id = 9");
        SimpleChanges updates(4);
        SimpleChanges deletes(4);
        for (int i = 1; i <= 15; ++i) {
            const auto id = std::to_string(i);
            updates.update(OldImage::Full, {id, "1.0", j, std::nullopt}, {id, "2", j, "new"});
            deletes.remove(OldImage::Full, {std::to_string(i + 15), "1.0", j, std::nullopt});
        }
        deletes.remove(OldImage::Full, {"31", "1.0", j, std::nullopt});
        begin();
        const auto target = describe();
        auto result = write(schema_of("a"), target, Op::Update, updates.all(), mode);
        ASSERT_FALSE(result.failure) << result.failure->error.to_string();
        if (mode == WriteMode::RowByRow) {
            EXPECT_THAT(result.missed_at, testing::ElementsAre(6, 7, 8));
        } else {
            EXPECT_EQ(result.missed, 3U);
        }
        result = write(schema_of("a"), target, Op::Delete, deletes.all(), mode);
        ASSERT_FALSE(result.failure) << result.failure->error.to_string();
        EXPECT_EQ(std::max(result.missed, result.missed_at.size()), 1U);
        commit();
        EXPECT_EQ(value("SELECT count(*) FROM b.t WHERE x = 2 AND y = 'new'"), "12");
        EXPECT_EQ(value("SELECT y FROM b.t WHERE id = 7"), "theirs");
        EXPECT_EQ(value("SELECT x FROM b.t WHERE id = 8"), "1.00");
        EXPECT_EQ(value("SELECT count(*) FROM b.t"), "14");
    }
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
