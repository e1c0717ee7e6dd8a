#include "qiao/drivers/postgres/write_fixture.h"

#include <gmock/gmock.h>

#include <deque>

namespace qiao::drivers::postgres {
namespace {

using model::Change;
using model::OldImage;
using model::Op;
using model::TupleBuilder;
using testing::ElementsAre;

/// Rows of (id integer, x text) in binary form.
class Rows2 {
public:
    enum class X : uint8_t { Value, Null, Unchanged, AsText };

    static Bytes number(uint32_t value) {
        Bytes bytes(sizeof(value));
        store_big_endian(bytes.data(), value);
        return bytes;
    }

    Change insert(uint32_t id, std::string_view x, X kind = X::Value) {
        return {.op = Op::Insert, .new_row = keep(id, x, kind)};
    }

    Change update(uint32_t id, std::string_view x, X kind = X::Value) {
        return {.op = Op::Update, .new_row = keep(id, x, kind)};
    }

    Change update(uint32_t from, uint32_t to, std::string_view x) {
        return {
            .op = Op::Update,
            .old_image = OldImage::Key,
            .old_row = keep(from, "", X::Null),
            .new_row = keep(to, x, X::Value)
        };
    }

    Change remove(uint32_t id) {
        return {.op = Op::Delete, .old_image = OldImage::Key, .old_row = keep(id, "", X::Null)};
    }

private:
    model::Tuple keep(uint32_t id, std::string_view x, X kind) {
        TupleBuilder builder(2);
        kind == X::AsText ? builder.text(std::to_string(id)) : builder.binary(number(id));
        if (kind == X::Null) {
            builder.null();
        } else if (kind == X::Unchanged) {
            builder.unchanged();
        } else {
            builder.binary(as_bytes(x));
        }
        kept_.push_back(std::move(builder).take());
        return tuple(kept_.back());
    }

    std::deque<Bytes> kept_;
};

class SetWriteTest : public WriteTest {
protected:
    void make(const std::string& columns = "id int PRIMARY KEY, x text") {
        run(fmt::format("CREATE TABLE a.t ({0}); CREATE TABLE b.t ({0})", columns));
        schema_ = schema_of("a");
        target_table_ = describe();
    }

    TableWrite as_write(Op op, const std::vector<Change>& changes) {
        auto& list = lists_.emplace_back();
        for (const auto& change : changes) {
            list.push_back(&change);
        }
        return {&schema_, &target_table_, op, list, checks_old_rows_};
    }

    /// Given one by one.
    std::vector<WriteResult> write_sets(std::vector<TableWrite> writes) {
        size_t given = 0;
        const auto next = [&] {
            return given < writes.size() ? std::vector{writes[given++]} : std::vector<TableWrite>();
        };
        auto results = loop_.run(session_->write_sets(next));
        EXPECT_TRUE(results) << results.error().to_string();
        return results ? *std::move(results) : std::vector<WriteResult>();
    }

    WriteResult write_set(Op op, const std::vector<Change>& changes) {
        return write(schema_, target_table_, op, changes, WriteMode::SetBased);
    }

    /// Twenty rows of (id, x, y), of which x is not sent.
    void update_without_x() {
        std::deque<Bytes> kept;
        std::vector<Change> updates;
        for (uint32_t i = 0; i < 20; ++i) {
            TupleBuilder builder(3);
            builder.binary(Rows2::number(i)).unchanged().binary(as_bytes("sent"));
            kept.push_back(std::move(builder).take());
            updates.push_back({.op = Op::Update, .new_row = tuple(kept.back())});
        }
        begin();
        EXPECT_EQ(write_set(Op::Update, updates).missed, 0);
        commit();
    }

    Rows2 rows_;
    model::TableSchema schema_;
    TargetTable target_table_;
    std::deque<std::vector<const Change*>> lists_;
};

TEST_F(SetWriteTest, SetsAreDoneInOrderAndEachTellsWhatItMissed) {
    make();
    run("INSERT INTO b.t SELECT n, 'old' FROM generate_series(0, 29) n");
    std::vector<Change> deletes;
    std::vector<Change> updates;
    std::vector<Change> inserts;
    for (uint32_t i = 0; i < 20; ++i) {
        deletes.push_back(rows_.remove(i + 20));
        updates.push_back(rows_.update(i, "new"));
        inserts.push_back(rows_.insert(i + 20, "again", i == 7 ? Rows2::X::Null : Rows2::X::Value));
    }
    updates.push_back(rows_.update(100, "nobody"));
    begin();
    const auto results = write_sets(
        {as_write(Op::Delete, deletes), as_write(Op::Update, updates), as_write(Op::Insert, inserts)
        }
    );
    ASSERT_EQ(results.size(), 3);
    EXPECT_THAT(
        (std::vector{results[0].missed, results[1].missed, results[2].missed}),
        ElementsAre(10, 1, 0)
    );
    commit();
    EXPECT_EQ(
        value("SELECT count(*) FILTER (WHERE x = 'new'), count(*) FILTER (WHERE x = 'again'),"
              " count(*) FILTER (WHERE x IS NULL) FROM b.t"),
        "20|19|1"
    );
}

TEST_F(SetWriteTest, ResultsEndAtTheSetThatFails) {
    make();
    run("INSERT INTO b.t VALUES (5, 'taken')");
    std::vector<Change> inserts;
    for (uint32_t i = 0; i < 20; ++i) {
        inserts.push_back(rows_.insert(i, "x"));
    }
    std::vector<Change> deletes;
    for (uint32_t i = 100; i < 120; ++i) {
        deletes.push_back(rows_.remove(i));
    }
    begin();
    const auto results = write_sets(
        {as_write(Op::Delete, deletes), as_write(Op::Insert, inserts), as_write(Op::Delete, deletes)
        }
    );
    ASSERT_EQ(results.size(), 2);
    EXPECT_EQ(results[0].missed, 20);
    ASSERT_TRUE(results[1].failure);
    EXPECT_EQ(results[1].failure->error.code(), ErrorCode::ApplyExistingRow);
    ASSERT_TRUE(loop_.run(session_->rollback()));
    // The session goes on.
    begin();
    EXPECT_EQ(write_set(Op::Delete, deletes).missed, 20);
    commit();
}

TEST_F(SetWriteTest, ManyLargeRowsTravelInSeveralStatements) {
    make();
    constexpr uint32_t kRows = 2'000;
    std::deque<std::string> values;
    std::vector<Change> inserts;
    std::vector<Change> updates;
    for (uint32_t i = 0; i < kRows; ++i) {
        values.push_back(std::string(i % 1'500, static_cast<char>('a' + i % 26)));
        inserts.push_back(rows_.insert(i, values.back()));
        updates.push_back(rows_.update(i, values[i / 2]));
    }
    begin();
    EXPECT_FALSE(write_set(Op::Insert, inserts).failure);
    EXPECT_EQ(value("SELECT count(*) FROM b.t"), "0")
        << "another session sees nothing before the COMMIT";
    EXPECT_EQ(write_set(Op::Update, updates).missed, 0);
    commit();
    EXPECT_EQ(
        value("SELECT count(*) FROM b.t WHERE x = repeat(chr(97 + (id / 2) % 26), (id / 2) % 1500)"
        ),
        std::to_string(kRows)
    );
}

TEST_F(SetWriteTest, ColumnsThatAreNotSentStayAsTheyAre) {
    make("id int PRIMARY KEY, x text, y text DEFAULT 'mine'");
    run("INSERT INTO b.t SELECT n, 'old' FROM generate_series(0, 19) n;"
        "ALTER TABLE b.t DROP COLUMN x; ALTER TABLE b.t ADD COLUMN x text DEFAULT 'new place'");
    target_table_ = describe();
    update_without_x();
    EXPECT_EQ(value("SELECT DISTINCT x, y FROM b.t"), "new place|sent");
}

// A null in the place of what is not sent would be refused by the domain.
TEST_F(SetWriteTest, ADomainThatTakesNoNullDoesNotHinderUpdatesThatLeaveItOut) {
    run("CREATE DOMAIN public.filled AS text NOT NULL");
    make("id int PRIMARY KEY, x public.filled, y text");
    run("INSERT INTO b.t SELECT n, 'old' FROM generate_series(0, 19) n");
    update_without_x();
    EXPECT_EQ(value("SELECT DISTINCT x, y FROM b.t"), "old|sent");
}

TEST_F(SetWriteTest, ATypeThatTheServerDoesNotReadInBinaryFormDoesNotHinderTheOthers) {
    run("CREATE TABLE a.t (id int PRIMARY KEY, x text);"
        "CREATE TABLE b.t (id int PRIMARY KEY, x text, rights aclitem)");
    schema_ = schema_of("a");
    target_table_ = describe();
    std::vector<Change> inserts;
    std::vector<Change> updates;
    for (uint32_t i = 0; i < 20; ++i) {
        inserts.push_back(rows_.insert(i, "x"));
        updates.push_back(rows_.update(i, "y"));
    }
    begin();
    EXPECT_FALSE(write_set(Op::Insert, inserts).failure);
    EXPECT_EQ(write_set(Op::Update, updates).missed, 0);
    commit();
    EXPECT_EQ(value("SELECT count(*) FROM b.t WHERE x = 'y'"), "20");
}

TEST_F(SetWriteTest, RowsOfAnotherFormInTheMiddleAreWrittenToo) {
    make();
    std::vector<Change> inserts;
    std::vector<Change> updates;
    for (uint32_t i = 0; i < 60; ++i) {
        inserts.push_back(rows_.insert(i, "x", i % 25 == 24 ? Rows2::X::AsText : Rows2::X::Value));
        updates.push_back(
            i % 20 == 19 ? rows_.update(i, "", Rows2::X::Unchanged) : rows_.update(i, "y")
        );
    }
    begin();
    EXPECT_FALSE(write_set(Op::Insert, inserts).failure);
    EXPECT_EQ(write_set(Op::Update, updates).missed, 0);
    commit();
    EXPECT_EQ(value("SELECT count(*), count(*) FILTER (WHERE x = 'y') FROM b.t"), "60|57");
}

TEST_F(SetWriteTest, MovedKeysAreMetByTheOldOne) {
    make();
    run("INSERT INTO b.t SELECT n, 'old' FROM generate_series(0, 29) n");
    std::vector<Change> updates;
    for (uint32_t i = 0; i < 30; ++i) {
        updates.push_back(rows_.update(i, i < 15 ? i : i + 1000, "new"));
    }
    begin();
    EXPECT_EQ(write_set(Op::Update, updates).missed, 0);
    commit();
    EXPECT_EQ(
        value("SELECT count(*), count(*) FILTER (WHERE id >= 1000) FROM b.t WHERE x = 'new'"),
        "30|15"
    );
}

TEST_F(SetWriteTest, GoesThroughAViewWithARule) {
    run("CREATE TABLE a.t (id int PRIMARY KEY, x text);"
        "CREATE TABLE b.kept (id int PRIMARY KEY, x text, seen boolean);"
        "CREATE VIEW b.t AS SELECT id, x FROM b.kept;"
        "CREATE RULE r AS ON INSERT TO b.t DO INSTEAD INSERT INTO b.kept VALUES (NEW.id, NEW.x, "
        "true)");
    schema_ = schema_of("a");
    target_table_ = describe();
    std::vector<Change> inserts;
    for (uint32_t i = 0; i < 20; ++i) {
        inserts.push_back(rows_.insert(i, "x"));
    }
    begin();
    EXPECT_FALSE(write_set(Op::Insert, inserts).failure);
    commit();
    EXPECT_EQ(value("SELECT count(*) FROM b.kept WHERE seen AND x = 'x'"), "20");
}

}  // namespace
}  // namespace qiao::drivers::postgres
