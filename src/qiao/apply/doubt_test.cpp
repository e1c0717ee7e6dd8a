#include "qiao/apply/desk_test.h"
#include "qiao/apply/intervention.h"

#include <gtest/gtest.h>

// What is dropped unapplied leaves its table in doubt, until a comparison from behind that.
namespace qiao::apply {
namespace {

using drivers::TableStatus;
using history::Desk;
using history::History;
using history::table;

/// The notice comes right before the last transaction.
std::vector<Input> with_notice(model::TableNotice notice, std::vector<Input> inputs) {
    auto place = inputs.end();
    while (place != inputs.begin() && !std::holds_alternative<Fragment>(*--place)) {
    }
    inputs.insert(place, std::move(notice));
    return inputs;
}

model::TableNotice proven_at(model::SourcePosition position) {
    return {model::TableNotice::Kind::Proven, table("plain"), std::move(position)};
}

TEST(Doubt, AProofFromBeforeARepairThatDropsAMoveDoesNotOutliveIt) {
    int shared = 0;
    for (uint64_t seed = 1; seed <= 10; ++seed) {
        History history(1);
        history.insert("plain", {"1", "a", "fine"});
        history.commit();
        history.update("plain", "1", {"2", "a", "refused"});
        history.commit();
        Desk desk(history, seed);
        desk.make_live("plain");
        desk.bench.database().refusals.push_back({table("plain"), {"2", "a", "refused"}});
        ASSERT_TRUE(desk.bench.run());
        desk.bench.database().refusals.clear();
        history.erase("plain", "2", true);
        history.insert("plain", {"2", "a", "refused"}, true);
        history.commit();
        desk.bench.reports.clear();
        desk.bench.edit = [](std::vector<Input> inputs) {
            return with_notice(proven_at(model::SourcePosition::lsn(7, 1, 210)), std::move(inputs));
        };
        ASSERT_TRUE(desk.bench.run());
        shared += desk.bench.reports.front().transactions == 1 ? 1 : 0;
        EXPECT_EQ(desk.status_of("plain"), TableStatus::Unproven);
        EXPECT_EQ(desk.state_of("plain").doubted_at, history.transactions().back().head.commit);
    }
    EXPECT_GT(shared, 0) << "units with the notice and the repair";
}

TEST(Doubt, WhatIsSkippedMakesItsTableUnproven) {
    History history(1);
    history.insert("plain", {"1", "a", "refused"});
    history.insert("plain", {"2", "a", "refused too"});
    history.commit();
    Desk desk(history, 1);
    desk.make_live("plain");
    desk.bench.database().refusals = {
        {table("plain"), {"1", "a", "refused"}}, {table("plain"), {"2", "a", "refused too"}}
    };
    ASSERT_TRUE(desk.bench.run());
    auto operation = desk.intervention();
    const auto dropped =
        desk.bench.world().run(operation.skip(table("plain"), desk.bench.diverged_rows[0].key_text)
        );
    ASSERT_TRUE(dropped) << dropped.error().to_string();
    EXPECT_EQ(*dropped, 1U);
    EXPECT_EQ(desk.waiting(), 1U);
    EXPECT_EQ(desk.status_of("plain"), TableStatus::Unproven);
    const auto nothing = desk.bench.world().run(operation.skip(table("plain"), "id=9"));
    ASSERT_FALSE(nothing);
    EXPECT_EQ(nothing.error().code(), ErrorCode::ApplyTableState);
}

/// Of a row that is refused and skipped, each in a transaction of its own.
void refuse_and_skip(Desk& desk, History& history, const std::string& id) {
    desk.bench.database().refusals.push_back({table("plain"), {id, "a", "refused"}});
    history.insert("plain", {id, "a", "refused"});
    history.commit();
    ASSERT_TRUE(desk.bench.run());
    desk.skip("id=" + id);
}

// The comparison was over before the row was refused; the notice is on its way longer.
// Source: rules 21, 23
TEST(Doubt, AProofFromBeforeASkipDoesNotOutliveIt) {
    History history(1);
    Desk desk(history, 1);
    desk.make_live("plain");
    const auto prove = [&](const model::SourcePosition& position, const std::string& id) {
        history.insert("plain", {id, "a", "fine"});
        history.commit();
        desk.bench.edit = [&](std::vector<Input> inputs) {
            return with_notice(proven_at(position), std::move(inputs));
        };
        ASSERT_TRUE(desk.bench.run());
        desk.bench.edit = {};
    };
    refuse_and_skip(desk, history, "1");
    const auto first = desk.bench.position();
    EXPECT_EQ(desk.state_of("plain").doubted_at, first);
    refuse_and_skip(desk, history, "2");
    const auto second = desk.bench.position();
    EXPECT_EQ(desk.state_of("plain").doubted_at, second);
    prove(first, "3");
    EXPECT_EQ(desk.status_of("plain"), TableStatus::Unproven);
    prove(second, "4");
    EXPECT_EQ(desk.status_of("plain"), TableStatus::Live);
}

// Source: rules 20, 21
TEST(Doubt, ATableOfWhichARowWasSkippedInAPauseGoesOnUnproven) {
    History history(1);
    Desk desk(history, 1);
    desk.make_live("plain");
    auto operation = desk.intervention();
    ASSERT_TRUE(desk.bench.world().run(operation.pause(table("plain"))));
    history.insert("plain", {"1", "a", "x"});
    history.commit();
    ASSERT_TRUE(desk.bench.run());
    desk.skip("id=1");
    EXPECT_EQ(desk.status_of("plain"), TableStatus::Paused);
    auto options = desk.replay_options();
    options.table = table("plain");
    options.resume = true;
    StopSignal stop;
    ASSERT_TRUE(desk.bench.world().run(operation.replay(std::move(options), stop)));
    EXPECT_EQ(desk.status_of("plain"), TableStatus::Unproven);
    EXPECT_EQ(desk.state_of("plain").doubted_at, desk.bench.position());
}

}  // namespace
}  // namespace qiao::apply
