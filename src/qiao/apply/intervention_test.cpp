#include "qiao/apply/intervention.h"

#include "qiao/apply/desk_test.h"
#include "qiao/common/async/sleep.h"

#include <gtest/gtest.h>

#include <algorithm>

// What is laid aside at a target comes in again, in order, or goes by a repair: then the target is
// what the source was, row by row.
namespace qiao::apply {
namespace {

using drivers::TableStatus;
using drivers::model_db::Faults;
using drivers::model_db::Refusal;
using history::Bench;
using history::Desk;
using history::History;
using history::Row;
using history::table;

void expect_nothing_refused(const ReplayReport& report) {
    for (const auto& row : report.refused) {
        ADD_FAILURE() << row.table.to_string() << " [" << row.key_text << "] " << row.code << " "
                      << row.detail;
    }
}

/// Some of the rows that the history writes.
std::vector<Refusal> some_rows(const History& history, std::mt19937_64& random, size_t one_in) {
    std::vector<Refusal> refusals;
    for (const auto& transaction : history.transactions()) {
        for (const auto& change : transaction.changes) {
            if (change.op == model::Op::Delete || change.op == model::Op::Truncate ||
                random() % one_in != 0) {
                continue;
            }
            for (const auto& shape : history.shapes()) {
                if (shape.schema.id() == change.schema) {
                    Row row;
                    for (const auto& value : change.new_row.values()) {
                        row.emplace_back(std::string(as_text(value.bytes)));
                    }
                    refusals.push_back({shape.schema.table, row, ErrorCode::DbValue});
                }
            }
        }
    }
    return refusals;
}

// Goal: whatever is refused, under faults, restarts and an operator who replays meanwhile, the
// target is the source's once the cause is gone and what waits was replayed.
// Source: rules 21. Spec: R-51
TEST(Intervention, BringsEverythingOnceTheCauseIsGone) {
    size_t laid_aside = 0;
    for (uint64_t seed = 1; seed <= 200; ++seed) {
        SCOPED_TRACE(seed);
        History history(seed);
        history.commit_many(60, 8);
        Desk desk(history, seed);
        auto& bench = desk.bench;
        bench.options.group_rows_max = 30;
        bench.options.fold = seed % 2 == 0;
        bench.database().refusals = some_rows(history, history.random(), 25);
        bench.database().faults = Faults{.lost = 2, .serialization = 5, .commit_unknown = 20};
        for (int restart = 0; restart < 6; ++restart) {
            (void)bench.run(std::chrono::milliseconds(1 + history.random()() % 1500));
            bench.world().run();
            if (history.random()() % 2 == 0) {
                (void)desk.replay();
                bench.world().run();
            }
        }
        bench.database().faults = {};
        ASSERT_TRUE(bench.run());
        laid_aside += desk.waiting();
        bench.database().refusals.clear();
        const auto report = desk.replay();
        ASSERT_TRUE(report) << report.error().to_string();
        expect_nothing_refused(*report);
        EXPECT_EQ(desk.waiting(), 0U);
        EXPECT_EQ(bench.target(), bench.expected());
        EXPECT_EQ(bench.database().counters().unlocked_writes, 0U);
        // Nothing is held back any more.
        ASSERT_TRUE(bench.run());
        EXPECT_EQ(bench.last_status.laid_aside, 0U);
    }
    EXPECT_GT(laid_aside, 300U);
}

// The must-show of a skipped insert, with and without the cause gone.
// Source: rules 21. Spec: R-51
TEST(Intervention, ARefusedInsertThenUpdateAndDeleteLeaveNoRowAfterReplay) {
    for (const bool cause_gone : {true, false}) {
        SCOPED_TRACE(cause_gone);
        History history(1);
        history.insert("plain", {"1", "a", "refused"});
        history.insert("plain", {"2", "a", "fine"});
        history.commit();
        history.update("plain", "1", {"1", "b", "fine"});
        history.commit();
        Desk desk(history, 1);
        desk.bench.database().refusals.push_back({table("plain"), {"1", "a", "refused"}});
        ASSERT_TRUE(desk.bench.run());
        EXPECT_EQ(desk.waiting(), 2U);
        history.erase("plain", "1");
        history.commit();
        ASSERT_TRUE(desk.bench.run());
        EXPECT_EQ(desk.waiting(), 3U);
        if (cause_gone) {
            desk.bench.database().refusals.clear();
        }
        const auto report = desk.replay();
        ASSERT_TRUE(report);
        EXPECT_EQ(report->applied, 3U);
        EXPECT_EQ(desk.waiting(), 0U);
        EXPECT_EQ(desk.bench.target(), desk.bench.expected());
    }
}

// Three rows at the target hold each other's values of its second unique key: no order of writing
// them one by one takes them, and their repair goes in all the same. Spec: R-35
TEST(Intervention, ARepairOfRowsThatHoldEachOthersUniqueValuesGoesIn) {
    for (const bool may_be_empty : {true, false}) {
        SCOPED_TRACE(may_be_empty);
        History history(1);
        history.insert("contact", {"1", "a"});
        history.insert("contact", {"2", "b"});
        history.insert("contact", {"3", "c"});
        history.commit();
        Desk desk(history, 1);
        auto shape = history.shape("contact").target;
        shape.columns[1].not_null = !may_be_empty;
        desk.bench.database().alter_table(shape);
        ASSERT_TRUE(desk.bench.run());
        auto& database = desk.bench.database();
        database.foreign_clear(table("contact"));
        database.foreign_insert(table("contact"), {"1", "b"});
        database.foreign_insert(table("contact"), {"2", "c"});
        database.foreign_insert(table("contact"), {"3", "a"});
        history.insert("contact", {"4", "waits"});
        history.insert("contact", {"1", "a"}, true);
        history.insert("contact", {"2", "b"}, true);
        history.insert("contact", {"3", "c"}, true);
        history.commit();
        ASSERT_TRUE(desk.bench.run());
        EXPECT_EQ(desk.waiting(), 0U);
        EXPECT_EQ(desk.bench.target(), desk.bench.expected());
    }
}

TEST(Intervention, OneRowThatIsRefusedForItselfDoesNotKeepTheOthersOut) {
    History history(1);
    for (const auto* key : {"1", "2", "3"}) {
        history.insert("contact", {key, key});
    }
    history.commit();
    Desk desk(history, 1);
    ASSERT_TRUE(desk.bench.run());
    auto& database = desk.bench.database();
    database.foreign_clear(table("contact"));
    database.foreign_insert(table("contact"), {"1", "2"});
    database.foreign_insert(table("contact"), {"2", "1"});
    database.foreign_insert(table("contact"), {"4", "3"});  // of somebody else
    history.insert("contact", {"3", "3"}, true);
    history.insert("contact", {"1", "1"}, true);
    history.insert("contact", {"2", "2"}, true);
    history.commit();
    ASSERT_TRUE(desk.bench.run());
    EXPECT_EQ(desk.waiting(), 1U);
    const std::vector<Row> expected{{"1", "1"}, {"2", "2"}, {"4", "3"}};
    EXPECT_EQ(desk.bench.target().at(table("contact")), expected);
}

// The first image of a row is refused, the second goes in: the first is never written over it, at
// once or by a replay. Source: rules 21
TEST(Intervention, OfTwoImagesOfARowTheLaterStays) {
    History history(1);
    history.insert("contact", {"1", "a"});
    history.commit();
    Desk desk(history, 1);
    ASSERT_TRUE(desk.bench.run());
    desk.bench.database().refusals.push_back({table("contact"), {"1", "older"}});
    history.insert("contact", {"1", "older"}, true);
    history.insert("contact", {"1", "newer"}, true);
    history.commit();
    ASSERT_TRUE(desk.bench.run());
    desk.bench.database().refusals.clear();
    ASSERT_TRUE(desk.replay());
    EXPECT_EQ(desk.waiting(), 0U);
    const std::vector<Row> expected{{"1", "newer"}};
    EXPECT_EQ(desk.bench.target().at(table("contact")), expected);
}

TEST(Intervention, SaysWhatIsStillRefusedAndKeepsTheRestBehindIt) {
    History history(1);
    history.insert("plain", {"1", "a", "refused"});
    history.insert("plain", {"2", "a", "refused too"});
    history.commit();
    history.update("plain", "2", {"2", "b", "fine"});
    history.commit();
    Desk desk(history, 1);
    desk.bench.database().refusals = {
        {table("plain"), {"1", "a", "refused"}}, {table("plain"), {"2", "a", "refused too"}}
    };
    ASSERT_TRUE(desk.bench.run());
    desk.bench.database().refusals[1].row = {"2", "b", "fine"};
    desk.bench.database().refusals[1].code = ErrorCode::DbConstraint;
    const auto report = desk.replay();
    ASSERT_TRUE(report);
    ASSERT_EQ(report->refused.size(), 2U);
    EXPECT_EQ(report->refused[0].code, "drivers.value");
    EXPECT_EQ(report->refused[1].code, "drivers.constraint");
    EXPECT_EQ(report->applied, 1U) << "the second row's insert";
    EXPECT_EQ(report->kept, 2U);
    EXPECT_EQ(desk.waiting(), 2U);
}

// Where bytes do not tell rows apart there is no net effect to try; others do not wait for that.
TEST(Intervention, ARefusedChainWithoutNetEffectHoldsNobodyElseUp) {
    History history(1);
    history.insert("decimal", {"1", "refused"});
    history.insert("plain", {"1", "a", "refused"});
    history.commit();
    history.update("decimal", "1", {"1", "later"});
    history.commit();
    Desk desk(history, 1);
    desk.bench.database().refusals = {
        {table("decimal"), {"1", "refused"}}, {table("plain"), {"1", "a", "refused"}}
    };
    ASSERT_TRUE(desk.bench.run());
    EXPECT_EQ(desk.waiting(), 3U);
    desk.bench.database().refusals.pop_back();
    const auto report = desk.replay();
    ASSERT_TRUE(report) << report.error().to_string();
    EXPECT_EQ(report->applied, 1U);
    ASSERT_EQ(report->refused.size(), 1U);
    EXPECT_EQ(report->refused[0].code, "drivers.value");
    EXPECT_EQ(report->kept, 2U);
}

// A whole row from the source in the place of whatever is there.
TEST(Intervention, ARepairOfTheRowMakesItsChainVoid) {
    History history(1);
    history.insert("plain", {"1", "a", "refused"});
    history.commit();
    history.update("plain", "1", {"1", "b", "fine"});
    history.commit();
    Desk desk(history, 1);
    desk.bench.database().refusals.push_back({table("plain"), {"1", "a", "refused"}});
    ASSERT_TRUE(desk.bench.run());
    EXPECT_EQ(desk.waiting(), 2U);
    history.erase("plain", "1", true);
    history.insert("plain", {"1", "b", "fine"}, true);
    history.commit();
    ASSERT_TRUE(desk.bench.run());
    EXPECT_EQ(desk.waiting(), 0U);
    EXPECT_EQ(desk.bench.target(), desk.bench.expected());
    EXPECT_EQ(desk.bench.last_status.laid_aside, 0U);
}

// The change that has moved the row here goes with the chain; the row of its old key stays.
TEST(Intervention, ARepairThatDropsAMoveMakesItsTableUnproven) {
    for (const bool moved : {true, false}) {
        History history(1);
        history.insert("plain", {"1", "a", "fine"});
        history.commit();
        const std::string key = moved ? "2" : "1";
        history.update("plain", "1", {key, "a", "refused"});
        history.commit();
        Desk desk(history, 1);
        desk.make_live("plain");
        desk.bench.database().refusals.push_back({table("plain"), {key, "a", "refused"}});
        ASSERT_TRUE(desk.bench.run());
        ASSERT_EQ(desk.waiting(), 1U);
        desk.bench.database().refusals.clear();
        history.erase("plain", key, true);
        history.insert("plain", {key, "a", "refused"}, true);
        history.commit();
        ASSERT_TRUE(desk.bench.run());
        EXPECT_EQ(desk.waiting(), 0U);
        EXPECT_EQ(desk.status_of("plain"), moved ? TableStatus::Unproven : TableStatus::Live);
        EXPECT_EQ(desk.bench.target() == desk.bench.expected(), !moved);
    }
}

// The unit with the notice is taken, and cannot be committed yet, when somebody pauses the table.
TEST(Intervention, ANoticeThatWasTakenBeforeAPauseDoesNotUndoIt) {
    using Kind = model::TableNotice::Kind;
    for (const auto kind : {Kind::CatalogueChanged, Kind::Proven}) {
        History history(1);
        history.insert("plain", {"1", "a", "x"});
        history.commit();
        Desk desk(history, 1);
        desk.make_live("plain");
        auto& bench = desk.bench;
        bench.edit = [&](std::vector<Input> inputs) {
            bench.database().faults.lost = bench.database().faults.connect_refused = 1000;
            inputs.insert(inputs.begin(), model::TableNotice{kind, table("plain")});
            return inputs;
        };
        bench.beside = [&](StopSignal& stop) -> Task<void> {
            (void)co_await sleep_for(bench.world(), bench.world(), std::chrono::seconds(20), stop);
            bench.database().faults = {};
            auto operation = desk.intervention();
            EXPECT_TRUE(co_await operation.pause(table("plain")));
        };
        ASSERT_TRUE(bench.run());
        EXPECT_EQ(desk.status_of("plain"), TableStatus::Paused);
        EXPECT_EQ(desk.waiting(), 1U);
    }
}

// What is left of a chain would bring the row back that its other half has taken away.
TEST(Intervention, ARowThatMovedIsDroppedWithItsWholeChain) {
    for (const bool skipped : {true, false}) {
        History history(1);
        history.insert("plain", {"1", "a", "refused"});
        history.commit();
        history.update("plain", "1", {"2", "a", "moved"});
        history.update("plain", "2", {"3", "a", "moved on"});
        history.insert("plain", {"4", "a", "refused"});
        history.commit();
        Desk desk(history, 1);
        desk.make_live("plain");
        desk.bench.database().refusals = {
            {table("plain"), {"1", "a", "refused"}}, {table("plain"), {"4", "a", "refused"}}
        };
        ASSERT_TRUE(desk.bench.run());
        ASSERT_EQ(desk.waiting(), 4U);
        if (skipped) {
            auto operation = desk.intervention();
            const auto dropped = desk.bench.world().run(operation.skip(table("plain"), "id=3"));
            ASSERT_TRUE(dropped) << dropped.error().to_string();
            EXPECT_EQ(*dropped, 3U);
        }
        history.erase("plain", "3", true);
        history.insert("plain", {"3", "a", "moved on"}, true);
        history.commit();
        ASSERT_TRUE(desk.bench.run());
        EXPECT_EQ(desk.waiting(), 1U);
        EXPECT_EQ(desk.status_of("plain"), TableStatus::Unproven);
        desk.bench.database().refusals.clear();
        ASSERT_TRUE(desk.replay());
        EXPECT_EQ(desk.bench.target(), desk.bench.expected());
    }
}

// Goal: a table is paused and resumed again and again while everything flows.
// Source: rules 20
TEST(Intervention, APausedTableGoesOnWithoutLossWhileTheStreamRuns) {
    size_t parked = 0;
    for (uint64_t seed = 1; seed <= 100; ++seed) {
        SCOPED_TRACE(seed);
        History history(seed);
        // Tables that refer to each other are paused where none is truncated: what rows refer to
        // cannot be truncated later.
        history.truncates = seed % 2 == 0;
        history.commit_many(80, 8);
        Desk desk(history, seed);
        auto& bench = desk.bench;
        bench.options.group_rows_max = 15;
        if (seed % 4 == 0) {
            bench.options.transaction_bytes_max = 150;  // most fragments are streamed
        }
        std::vector<std::string> names{"plain", "decimal", "contact", "purchase", "customer"};
        for (const auto& name : names) {
            desk.make_live(name);
        }
        auto& random = history.random();
        bench.beside = [&](StopSignal& stop) -> Task<void> {
            const auto name = names[random() % (history.truncates ? 3 : 5)];
            while (!stop.requested()) {
                auto operation = desk.intervention();
                (void)co_await operation.pause(table(name));
                const Duration pause(random() % 20'000'000);
                (void)co_await sleep_for(bench.world(), bench.world(), pause, stop);
                parked += desk.waiting();
                auto options = desk.replay_options();
                options.table = table(name);
                options.resume = true;
                StopSignal never;
                (void)co_await operation.replay(std::move(options), never);
            }
        };
        ASSERT_TRUE(bench.run());
        bench.beside = {};
        for (const auto& name : names) {
            if (desk.status_of(name) == TableStatus::Paused) {
                auto options = desk.replay_options();
                options.table = table(name);
                options.resume = true;
                StopSignal never;
                auto operation = desk.intervention();
                const auto report = bench.world().run(operation.replay(std::move(options), never));
                ASSERT_TRUE(report) << report.error().to_string();
            }
            EXPECT_EQ(desk.status_of(name), TableStatus::Live);
        }
        const auto last = desk.replay();
        ASSERT_TRUE(last) << last.error().to_string();
        expect_nothing_refused(*last);
        EXPECT_EQ(desk.waiting(), 0U);
        EXPECT_EQ(bench.target(), bench.expected());
    }
    EXPECT_GT(parked, 100U);
}

// Source: rules 20
TEST(Intervention, ReplayLeavesAPausedTableAlone) {
    History history(1);
    Desk desk(history, 1);
    desk.make_live("plain");
    auto operation = desk.intervention();
    ASSERT_TRUE(desk.bench.world().run(operation.pause(table("plain"))));
    history.insert("plain", {"1", "a", "x"});
    history.insert("decimal", {"1", "refused"});
    history.commit();
    desk.bench.database().refusals.push_back({table("decimal"), {"1", "refused"}});
    ASSERT_TRUE(desk.bench.run());
    EXPECT_EQ(desk.waiting(), 2U);
    desk.bench.database().refusals.clear();
    const auto report = desk.replay();
    ASSERT_TRUE(report) << report.error().to_string();
    EXPECT_EQ(report->applied, 1U);
    EXPECT_EQ(desk.waiting(), 1U);
    EXPECT_TRUE(desk.bench.database().rows(table("plain")).empty());
}

TEST(Intervention, ATableThatWaitsTooLongWantsAResync) {
    History history(1);
    Desk desk(history, 1);
    desk.make_live("plain");
    desk.bench.options.laid_aside_max = 5;
    auto operation = desk.intervention();
    ASSERT_TRUE(desk.bench.world().run(operation.pause(table("plain"))));
    for (int i = 0; i < 10; ++i) {
        history.insert("plain", {std::to_string(i), "a", "x"});
        history.commit();
        ASSERT_TRUE(desk.bench.run());
        EXPECT_LE(desk.waiting(), 5U);
    }
    EXPECT_EQ(desk.status_of("plain"), TableStatus::NeedsResync);
    EXPECT_EQ(desk.waiting(), 0U);
}

TEST(Intervention, RefusesWhatATableSStateDoesNotAllow) {
    History history(1);
    history.insert("plain", {"1", "a", "x"});
    history.commit();
    Desk desk(history, 1);
    auto operation = desk.intervention();
    EXPECT_EQ(desk.bench.world().run(operation.tables()).error().code(), ErrorCode::ApplyNoStream);
    ASSERT_TRUE(desk.bench.run());
    auto again = desk.intervention();
    const auto unknown = desk.bench.world().run(again.pause(table("plain")));
    EXPECT_EQ(unknown.error().code(), ErrorCode::ApplyTableState);
    desk.make_live("plain");
    StopSignal stop;
    auto options = desk.replay_options();
    options.table = table("plain");
    options.resume = true;
    const auto not_paused = desk.bench.world().run(again.replay(std::move(options), stop));
    EXPECT_EQ(not_paused.error().code(), ErrorCode::ApplyTableState);
    EXPECT_TRUE(desk.bench.world().run(again.resync(table("plain"))));
    EXPECT_TRUE(desk.bench.world().run(again.resync(table("plain")))) << "asked twice";
    EXPECT_EQ(desk.status_of("plain"), TableStatus::ResyncAsked);
}

}  // namespace
}  // namespace qiao::apply
