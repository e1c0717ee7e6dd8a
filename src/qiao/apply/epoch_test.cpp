#include "qiao/apply/applier.h"
#include "qiao/apply/history_test.h"

#include <gtest/gtest.h>

namespace qiao::apply {
namespace {

using history::Bench;
using history::History;
using history::table;

History ten_rows() {
    History history(1);
    for (int i = 0; i < 10; ++i) {
        history.insert("plain", {std::to_string(i), "a", "long"});
    }
    history.commit();
    return history;
}

/// What comes is one row, 77, with its commit at `commit` in a second epoch.
std::vector<Input> moved_to(model::SourcePosition commit, std::vector<Input> inputs) {
    for (auto& input : inputs) {
        if (auto* fragment = std::get_if<Fragment>(&input)) {
            fragment->head.commit = commit;
            fragment->mark.point = {{2}, {2}};
            fragment->changes.resize(1);
            const auto row = std::make_shared<Bytes>(
                std::move(model::TupleBuilder(3).text("77").text("x").text("y")).take()
            );
            fragment->changes[0].new_row = *model::Tuple::parse(*row);
            fragment->keep = row;
            fragment->last = true;
        }
    }
    return inputs;
}

TEST(Epoch, LeavesItsTablesUnproven) {
    auto history = ten_rows();
    Bench bench(history, 1);
    bench.edit = [](std::vector<Input> inputs) {
        const drivers::TableState live{table("plain"), 1, drivers::TableStatus::Live, {}};
        inputs.insert(inputs.begin(), TableStateChange{live});
        return inputs;
    };
    ASSERT_TRUE(bench.run());
    const auto& states = bench.database().committed().table_states;
    EXPECT_EQ(states.begin()->second.status, drivers::TableStatus::Live);

    // Another timeline: refused as it is, taken behind the record of a new epoch.
    const auto start = model::SourcePosition::lsn(7, 2, 50);
    const auto move_on = [](std::vector<Input> inputs) {
        return moved_to(model::SourcePosition::lsn(7, 2, 60), std::move(inputs));
    };
    history.insert("plain", {"77", "x", "y"});
    history.commit();
    bench.edit = move_on;
    const auto refused = bench.run();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), ErrorCode::ApplyOtherHistory);
    bench.edit = [&](std::vector<Input> inputs) {
        inputs = move_on(std::move(inputs));
        const StreamMark mark{{{2}, {1}}, {}};
        inputs.insert(inputs.begin(), EpochOpened{mark, start, true});
        return inputs;
    };
    const auto end = bench.run();
    EXPECT_TRUE(end) << end.error().to_string();
    EXPECT_EQ(bench.position(), model::SourcePosition::lsn(7, 2, 60));
    EXPECT_EQ(states.begin()->second.status, drivers::TableStatus::Unproven);
    EXPECT_EQ(states.begin()->second.doubted_at, start);
    EXPECT_EQ(bench.database().rows(table("plain")).size(), 11U);
}

// An old carried load under a stream whose slot is younger. Spec: R-11. Source: rules 1
TEST(Epoch, ThatIsTheFirstDoubtsWhatWasLoadedUpToAnEarlierPlace) {
    for (const uint64_t joined : {40U, 51U}) {
        SCOPED_TRACE(joined);
        auto history = ten_rows();
        Bench bench(history, 1);
        const auto start = model::SourcePosition::lsn(7, 1, 50);
        bench.edit = [&](const std::vector<Input>&) {
            const drivers::TableState loaded{
                table("plain"),
                1,
                drivers::TableStatus::Live,
                model::SourcePosition::lsn(7, 1, joined)
            };
            const StreamMark mark{{{1}, {1}}, {}};
            return std::vector<Input>{TableStateChange{loaded}, EpochOpened{mark, start, false}};
        };
        ASSERT_TRUE(bench.run());
        const auto& states = bench.database().committed().table_states;
        const auto& state = states.begin()->second;
        const bool lacks = joined < 50;
        EXPECT_EQ(
            state.status, lacks ? drivers::TableStatus::Unproven : drivers::TableStatus::Live
        );
        EXPECT_EQ(state.doubted_at, lacks ? start : model::SourcePosition());
    }
}

// Source: rules 1, 20
TEST(Epoch, LeavesAPausedTableUnprovenForWhenItGoesOn) {
    auto history = ten_rows();
    Bench bench(history, 1);
    const auto start = model::SourcePosition::lsn(7, 1, 50);
    bench.edit = [&](std::vector<Input> inputs) {
        const drivers::TableState paused{table("decimal"), 1, drivers::TableStatus::Paused, {}};
        inputs.insert(inputs.begin(), EpochOpened{{{{2}, {1}}, {}}, start, true});
        inputs.insert(inputs.begin(), TableStateChange{paused});
        return inputs;
    };
    ASSERT_TRUE(bench.run());
    const auto& state = bench.database().committed().table_states.begin()->second;
    EXPECT_EQ(state.status, drivers::TableStatus::Paused);
    EXPECT_EQ(state.note, "history has a gap");
    EXPECT_EQ(state.doubted_at, start);
}

// A machine's snapshot is put back: the same timeline, and positions that were passed before.
// Source: rules 1
TEST(Epoch, OfAnotherHistoryIsFollowedFromItsBeginThoughATableWasLoadedBehindThat) {
    const auto loaded_at = model::SourcePosition::lsn(7, 1, 1'000'000);
    const auto start = model::SourcePosition::lsn(7, 1, 900'000);
    for (const bool elsewhere : {false, true}) {
        auto history = ten_rows();
        Bench bench(history, 1);
        bench.edit = [&](std::vector<Input> inputs) {
            const drivers::TableState live{
                table("plain"), 1, drivers::TableStatus::Live, loaded_at
            };
            inputs.emplace_back(TableStateChange{live});
            return inputs;
        };
        ASSERT_TRUE(bench.run());
        history.insert("plain", {"77", "x", "y"});
        history.commit();
        bench.edit = [&](std::vector<Input> inputs) {
            inputs = moved_to(model::SourcePosition::lsn(7, 1, 900'010), std::move(inputs));
            const StreamMark mark{{{2}, {1}}, {}};
            inputs.insert(inputs.begin(), EpochOpened{mark, start, true, elsewhere});
            return inputs;
        };
        EXPECT_TRUE(bench.run());
        EXPECT_EQ(bench.database().rows(table("plain")).size(), elsewhere ? 11U : 10U);
        const auto& state = bench.database().committed().table_states.begin()->second;
        EXPECT_EQ(state.status, drivers::TableStatus::Unproven);
        EXPECT_EQ(state.joined_at, elsewhere ? start : loaded_at);
    }
}

}  // namespace
}  // namespace qiao::apply
