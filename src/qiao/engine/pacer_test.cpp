#include "qiao/engine/pacer.h"

#include "qiao/testing/manual_world.h"

#include <gtest/gtest.h>

namespace qiao::engine {
namespace {

class PacerTest : public ::testing::Test {
protected:
    /// Virtual time that it takes to send so much.
    double seconds_for(uint64_t bytes, uint64_t piece) {
        const auto before = world_.now();
        for (uint64_t sent = 0; sent < bytes; sent += piece) {
            EXPECT_TRUE(world_.run(pacer_.earn(piece, stop_)));
        }
        EXPECT_TRUE(world_.run(pacer_.earn(0, stop_))) << "what is owed is paid";
        return std::chrono::duration<double>(world_.now() - before).count();
    }

    testing::ManualWorld world_{1};
    Pacer pacer_{world_, world_};
    StopSignal stop_;
};

// Spec: R-77
TEST_F(PacerTest, KeepsTheMeanRateWhateverTheSizeOfPackets) {
    pacer_.set_rate(1'000'000);
    for (const uint64_t piece : {1'000U, 70'000U, 3'000'000U}) {
        EXPECT_NEAR(seconds_for(21'000'000, piece), 21, 0.5) << piece;
    }
}

TEST_F(PacerTest, WithoutARateNothingWaits) { EXPECT_EQ(seconds_for(1 << 30, 1 << 20), 0); }

TEST_F(PacerTest, AWaitEndsSoonAfterThereIsNobodyToSendTo) {
    pacer_.set_rate(1);
    EXPECT_TRUE(world_.run(pacer_.earn(1'000'000, stop_)));
    const auto before = world_.now();
    int looks = 0;
    const auto over = [&looks] { return ++looks > 3; };
    EXPECT_TRUE(world_.run(pacer_.earn(1, stop_, over)).error().is(ErrorCode::Cancelled));
    EXPECT_LT(world_.now() - before, std::chrono::seconds(10));
}

TEST_F(PacerTest, StopEndsAWait) {
    pacer_.set_rate(1);
    EXPECT_TRUE(world_.run(pacer_.earn(1'000'000, stop_)));
    stop_.request();
    EXPECT_TRUE(world_.run(pacer_.earn(1, stop_)).error().is(ErrorCode::Cancelled));
}

}  // namespace
}  // namespace qiao::engine
