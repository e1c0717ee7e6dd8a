#include "qiao/drivers/postgres/mapped_write_fixture.h"

#include <gmock/gmock.h>
#include <libpq-fe.h>

namespace qiao::drivers::postgres {
namespace {

using model::Change;
using model::Op;

/// Small rows: numbers as text, two columns.
class SmallRowsTest : public MappedWriteTest {
protected:
    void start(size_t rows, size_t budget = kRowMapBudget) {
        connect(budget);
        run(fmt::format(
            "CREATE TABLE a.pool (id int, x text, n int);"
            "INSERT INTO a.pool SELECT i, 'x' || i, i FROM generate_series(0, {}) i;"
            "CREATE TABLE b.t (id int, x text)",
            rows - 1
        ));
        read_pool();
    }

    void fill(size_t row, size_t copies) {
        run(fmt::format(
            "INSERT INTO b.t SELECT {0}, 'x{0}' FROM generate_series(1, {1})", row, copies
        ));
        copies_[row] += copies;
    }

    void fill_other(size_t row) {
        run(fmt::format("INSERT INTO b.t VALUES ('x{0}', {0})", row));
        ++copies_[row];
    }

    void update_copies(size_t from, size_t to, size_t count) {
        std::vector<Change> changes(count, update(from, to));
        EXPECT_EQ(apply(Op::Update, changes).missed, 0);
        copies_[from] -= count;
        copies_[to] += count;
    }
};

// Spec: R-24
// Source: rules 22
TEST_F(SmallRowsTest, EqualRowsAreChangedOneByOne) {
    start(4);
    fill(0, 50'000);
    run("CREATE INDEX place ON b.t (id)");
    for (size_t round = 0; round < 6; ++round) {
        begin();
        update_copies(0, 1, 1000);
        update_copies(1, 2, 500);
        std::vector<Change> deletes(300, deletion(0));
        EXPECT_EQ(apply(Op::Delete, deletes).missed, 0);
        copies_[0] -= 300;
        if (round % 2 == 0) {
            commit();
        } else {
            ASSERT_TRUE(loop_.run(session_->rollback()));
            copies_[0] += 1300;
            copies_[1] -= 500;
            copies_[2] -= 500;
        }
        expect_exact();
        if (round == 1) {
            run("VACUUM FULL b.t");
        } else if (round == 2) {
            run("CLUSTER b.t USING place");
        } else if (round == 3) {
            run("UPDATE b.t SET x = x");
        }
    }
    EXPECT_EQ(figures().builds, 1);
    // A place in the new files can happen to be right.
    EXPECT_GE(figures().rebuilds, 1);
    EXPECT_LE(figures().rebuilds, 2);
    EXPECT_LE(figures().scans, 4);
    EXPECT_EQ(figures().rows, std::stoul(value("SELECT count(*) FROM b.t")));
}

TEST_F(SmallRowsTest, ARowThatIsNotThereIsTold) {
    start(6);
    for (const size_t budget : {kRowMapBudget, kNoRowMapBudget}) {
        connect(budget);
        run("TRUNCATE b.t");
        copies_.assign(copies_.size(), 0);
        fill(0, 3);
        begin();
        const std::vector<Change> deletes{
            deletion(5), deletion(0), deletion(4), deletion(0), deletion(0), deletion(0)
        };
        const auto result = apply(Op::Delete, deletes);
        EXPECT_EQ(result.missed, 3);
        EXPECT_THAT(result.missed_at, testing::ElementsAre(0, 2, 5));
        commit();
        copies_[0] = 0;
        expect_exact();
        EXPECT_EQ(figures().tables_over_budget, budget == kNoRowMapBudget ? 1 : 0);
    }
}

TEST_F(SmallRowsTest, AChangeMeetsWhatAnEarlierOneOfTheSameCallHasMade) {
    start(8);
    for (const size_t budget : {kRowMapBudget, kNoRowMapBudget}) {
        connect(budget);
        run("TRUNCATE b.t");
        copies_.assign(copies_.size(), 0);
        fill(0, 1);
        begin();
        std::vector<Change> chain;
        for (size_t i = 0; i < 200; ++i) {
            chain.push_back(update(i % 8, (i + 1) % 8));
        }
        chain.push_back(update(3, 4));
        EXPECT_THAT(apply(Op::Update, chain).missed_at, testing::ElementsAre(200));
        commit();
        expect_exact();
    }
}

TEST_F(SmallRowsTest, AMapOutlivesSessionsAndRollbacks) {
    start(10);
    for (size_t i = 0; i < 10; ++i) {
        fill(i, 20);
    }
    for (size_t round = 0; round < 10; ++round) {
        begin();
        update_copies(round % 3, 5, 2);
        if (round % 2 == 0) {
            // Its end undoes the transaction.
            session_.reset();
            reconnect();
            copies_[round % 3] += 2;
            copies_[5] -= 2;
            continue;
        }
        commit();
    }
    expect_exact();
    EXPECT_EQ(figures().builds, 1);
    EXPECT_EQ(figures().misses, 0);
    EXPECT_EQ(figures().hits, 20);
}

TEST_F(SmallRowsTest, AMapThatGrowsOverTheBudgetIsGivenUpUntilTheTableIsEmptied) {
    start(3, size_t{32} << 10U);
    fill(0, 10);
    begin();
    update_copies(0, 1, 5);
    EXPECT_EQ(figures().tables, 1);
    insert_copies(std::vector<size_t>(3000, 2));
    EXPECT_EQ(figures().tables_over_budget, 1);
    EXPECT_EQ(figures().bytes, 0);
    update_copies(2, 0, 100);
    commit();
    expect_exact();
    begin();
    ASSERT_TRUE(loop_.run(session_->truncate({{"b", "t"}}, false)));
    copies_.assign(copies_.size(), 0);
    insert_copies({0, 1, 1});
    update_copies(1, 2, 2);
    commit();
    expect_exact();
    EXPECT_EQ(figures().tables_over_budget, 0);
    EXPECT_EQ(figures().tables, 1);
}

/// The second transaction writes to the same table while the first one's is open.
TEST_F(SmallRowsTest, ASecondSessionGoesWithoutTheMap) {
    start(6);
    fill(0, 10);
    fill(1, 10);
    begin();
    update_copies(0, 2, 5);
    auto first = std::move(session_);
    reconnect();
    begin();
    update_copies(1, 3, 5);
    insert_copies({4, 4, 4, 4, 4, 4, 4, 4, 4, 4});
    commit();
    std::swap(first, session_);
    update_copies(2, 5, 5);
    commit();
    expect_exact();
    begin();
    update_copies(3, 0, 5);
    update_copies(4, 0, 10);
    commit();
    expect_exact();
    EXPECT_EQ(figures().builds, 1);
}

/// Our statements find the rows locked, and elsewhere once they are free.
TEST_F(SmallRowsTest, RowsThatAForeignTransactionIsMovingAreMet) {
    start(4);
    const auto watcher = open(url_);
    const auto asleep = fmt::format(
        "SELECT count(*) FROM pg_stat_activity WHERE pid = {} AND wait_event = 'PgSleep'",
        sql_->backend_pid()
    );
    for (const std::string move :
         {"UPDATE b.t SET x = x",
          "WITH gone AS (DELETE FROM b.t RETURNING *) INSERT INTO b.t SELECT * FROM gone"}) {
        for (const size_t budget : {kRowMapBudget, kNoRowMapBudget}) {
            SCOPED_TRACE(move);
            connect(budget);
            run("TRUNCATE b.t");
            copies_.assign(copies_.size(), 0);
            fill(0, 20);
            begin();
            update_copies(0, 1, 10);
            commit();
            const auto slow = move + "; SELECT pg_sleep(0.2)";
            ASSERT_EQ(PQsendQuery(sql_->raw(), slow.c_str()), 1);
            for (bool moved = false; !moved;) {
                const auto rows = loop_.run(watcher->query(asleep));
                ASSERT_TRUE(rows);
                moved = rows->number(0, 0) == 1;
            }
            begin();
            update_copies(0, 2, 5);
            update_copies(1, 3, 5);
            commit();
            for (auto* result = PQgetResult(sql_->raw()); result != nullptr;
                 result = PQgetResult(sql_->raw())) {
                PQclear(result);
            }
            expect_exact();
        }
    }
}

/// Rules and policies stand in the way of RETURNING; triggers move rows behind the map's back.
TEST_F(SmallRowsTest, RulesPoliciesAndTriggersOfTheTargetCostSpeedOnly) {
    start(4);
    const auto* const trigger =
        "CREATE FUNCTION b.again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF "
        "pg_trigger_depth() = 1 THEN UPDATE b.t SET x = x; END IF; RETURN NULL; END $$;"
        "CREATE TRIGGER again AFTER UPDATE ON b.t FOR EACH ROW EXECUTE FUNCTION b.again();"
        "ALTER TABLE b.t ENABLE ALWAYS TRIGGER again";
    for (const std::string change :
         {"CREATE RULE r AS ON UPDATE TO b.t DO ALSO NOTHING",
          "DROP RULE r ON b.t",
          "ALTER TABLE b.t ENABLE ROW LEVEL SECURITY",
          trigger}) {
        SCOPED_TRACE(change);
        run(change);
        bound_ = describe();
        run("TRUNCATE b.t");
        copies_.assign(copies_.size(), 0);
        fill(0, 30);
        begin();
        update_copies(0, 1, 10);
        update_copies(1, 2, 5);
        insert_copies({3, 3, 3});
        commit();
        expect_exact();
    }
}

TEST_F(SmallRowsTest, TypesThatDifferAtTheTargetAreNoMiss) {
    start(20);
    run("DROP TABLE b.t; CREATE TABLE b.t (x varchar(30), id numeric)");
    bound_ = describe();
    for (size_t i = 0; i < 20; ++i) {
        fill_other(i);
    }
    begin();
    for (size_t i = 0; i < 10; ++i) {
        update_copies(i, i + 1, 1);
    }
    commit();
    expect_exact();
    EXPECT_EQ(figures().hits, 10);
    EXPECT_EQ(figures().misses, 0);
}

}  // namespace
}  // namespace qiao::drivers::postgres
