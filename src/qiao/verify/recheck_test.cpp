// The rules of a recheck one by one, with scripted readings.

#include "qiao/verify/internal/recheck.h"

#include "qiao/testing/manual_world.h"

#include <gtest/gtest.h>

#include <functional>

namespace qiao::verify::internal {
namespace {

/// What a reading shows: which image of the row (0: none), written how often (0: not known).
struct Reading {
    uint64_t image = 0;
    uint64_t version = 0;
};

/// A side that only answers looks, by a script; `index` counts them from 0.
class ScriptedSide final : public Side {
public:
    std::function<Reading(uint64_t index)> script;
    uint64_t looks = 0;
    uint64_t moves = 1;  ///< of the position at each call

    Task<Result<Looked>> look(LookRequest request, StopSignal& /*stop*/) override {
        const auto reading = script(looks++);
        Seen seen;
        seen.version = reading.version;
        if (reading.image != 0) {
            seen.rows = Fold{1, reading.image, 0};
        }
        Looked looked;
        looked.rows.assign(request.rows.size(), seen);
        co_return looked;
    }

    Task<Result<model::SourcePosition>> position(StopSignal& /*stop*/) override {
        lsn_ += moves;
        co_return model::SourcePosition::lsn(1, 1, lsn_);
    }

    Task<Result<drivers::TableReader::Shape>> describe(model::TableName, StopSignal&) override {
        co_return Error(ErrorCode::Cancelled);
    }

    Task<Result<drivers::RowRange>> settle(SettleRequest, StopSignal&) override {
        co_return Error(ErrorCode::Cancelled);
    }

    Task<Result<Counted>> count(CountRequest, StopSignal&) override {
        co_return Error(ErrorCode::Cancelled);
    }

    Task<Result<Summed>> sum(SumRequest, StopSignal&) override {
        co_return Error(ErrorCode::Cancelled);
    }

    Task<Result<Listed>> list(ListRequest, StopSignal&) override {
        co_return Error(ErrorCode::Cancelled);
    }

    Task<Result<std::vector<Bytes>>> keys(std::vector<RowDigest>, StopSignal&) override {
        co_return Error(ErrorCode::Cancelled);
    }

private:
    uint64_t lsn_ = 10;
};

struct Outcome {
    Candidate::State state;
    uint64_t looks;
};

using Script = std::function<Reading(uint64_t index)>;

/// The source is read twice in each look (2n, 2n + 1), the target once.
Outcome recheck(Script source_script, Script target_script, uint64_t source_moves = 1) {
    testing::ManualWorld world;
    ScriptedSide source;
    ScriptedSide target;
    source.script = std::move(source_script);
    source.moves = source_moves;
    target.script = std::move(target_script);
    Verifier::Parts parts{world, world, world, source, target, {}};
    const VerifyOptions options;
    const Plan plan;
    StopSignal stop;
    std::vector<Candidate> candidates(1);
    Recheck one(parts, options, plan);
    EXPECT_TRUE(world.run(one.run(candidates, stop)).has_value());
    return {candidates[0].state, target.looks};
}

Script always(Reading reading) {
    return [reading](uint64_t) { return reading; };
}

using State = Candidate::State;
constexpr uint64_t kRounds = 6;

TEST(Recheck, SettlesAtTheFirstLookThatFindsTheSourcesRow) {
    const auto outcome = recheck(always({1, 5}), always({1, 9}));
    EXPECT_EQ(outcome.state, State::Settled);
    EXPECT_EQ(outcome.looks, 1U);
}

TEST(Recheck, SettlesByTheSecondReadingOfTheSourceOnly) {
    // The target has what the source had before: a change that may still come, or was lost.
    const auto changed = [](uint64_t index) { return Reading{1 + index, 1 + index}; };
    const auto behind = [](uint64_t index) { return Reading{1 + 2 * index, 1}; };
    EXPECT_EQ(recheck(changed, behind).state, State::Open);
    const auto ahead = [](uint64_t index) { return Reading{2 + 2 * index, 1}; };
    EXPECT_EQ(recheck(changed, ahead).state, State::Settled);
}

TEST(Recheck, ConfirmsByTwoLooksWhatNobodyWroteMeanwhile) {
    for (const auto target : {Reading{2, 7}, Reading{}}) {
        const auto outcome = recheck(always({1, 5}), always(target));
        EXPECT_EQ(outcome.state, State::Confirmed);
        EXPECT_EQ(outcome.looks, 2U);
    }
}

TEST(Recheck, DoesNotConfirmARowThatWasWrittenInBetween) {
    const auto written = [](uint64_t index) { return Reading{1, index + 1}; };
    const auto outcome = recheck(written, always({2, 7}));
    EXPECT_EQ(outcome.state, State::Open);
    EXPECT_EQ(outcome.looks, kRounds);
}

TEST(Recheck, ConfirmsAnExtraRowThatStaysTheSameCopy) {
    const auto outcome = recheck(always({}), always({2, 7}));
    EXPECT_EQ(outcome.state, State::Confirmed);
    EXPECT_EQ(outcome.looks, 3U);
}

// A queue: the same row is inserted and deleted at the source again and again.
TEST(Recheck, DoesNotConfirmAnExtraRowThatComesAnew) {
    const auto anew = [](uint64_t index) { return Reading{2, index + 1}; };
    EXPECT_EQ(recheck(always({}), anew).state, State::Open);
}

TEST(Recheck, AsksForMoreLooksWithoutVersions) {
    const auto outcome = recheck(always({1}), always({2}));
    EXPECT_EQ(outcome.state, State::Confirmed);
    EXPECT_EQ(outcome.looks, 4U);
}

TEST(Recheck, TakesASourceThatStandsForPinned) {
    const auto outcome = recheck(always({1}), always({2}), 0);
    EXPECT_EQ(outcome.state, State::Confirmed);
    EXPECT_EQ(outcome.looks, 2U);
}

TEST(Recheck, StartsAnewWhenTheDifferenceIsAnother) {
    const auto other_each_time = [](uint64_t index) { return Reading{2 + index, 7}; };
    EXPECT_EQ(recheck(always({1, 5}), other_each_time).state, State::Open);
}

}  // namespace
}  // namespace qiao::verify::internal
