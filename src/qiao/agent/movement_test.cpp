#include "qiao/agent/movement.h"

#include <gtest/gtest.h>

namespace qiao::agent {
namespace {

using std::chrono::seconds;

constexpr MonoTime kStart{std::chrono::hours(5)};

StreamPoint point(uint64_t sequence) { return {Epoch{1}, Sequence{sequence}}; }

Movement::In in(uint64_t sequence, int64_t event_seconds, uint64_t bytes) {
    return {point(sequence), WallTime{event_seconds * 1'000'000}, bytes};
}

TEST(Movement, IsProvenByWhatComesOutAndForgottenAfterThreeHeartbeats) {
    Movement movement(seconds(10), kStart);
    EXPECT_EQ(movement.moving(kStart + seconds(1)), Moving::Unknown);
    movement.sample(kStart + seconds(1), in(5, 100, 500), point(0));
    EXPECT_EQ(movement.moving(kStart + seconds(2)), Moving::Unknown);
    EXPECT_FALSE(movement.lag(WallTime{200'000'000}));
    movement.sample(kStart + seconds(3), in(5, 100, 500), point(5));
    EXPECT_EQ(movement.moving(kStart + seconds(4)), Moving::Yes);
    EXPECT_EQ(*movement.lag(WallTime{130'000'000}), seconds(30));
    EXPECT_EQ(movement.moving(kStart + seconds(38)), Moving::Yes);
    EXPECT_EQ(movement.moving(kStart + seconds(39)), Moving::No);
}

TEST(Movement, WithoutHeartbeatsSilenceProvesNothingButAStuckPacketDoes) {
    Movement movement(Duration::zero(), kStart);
    EXPECT_EQ(movement.moving(kStart + seconds(1000)), Moving::Unknown);
    movement.sample(kStart + seconds(1000), in(1, 1, 10), point(0));
    EXPECT_EQ(movement.moving(kStart + seconds(1002)), Moving::Unknown);
    EXPECT_EQ(movement.moving(kStart + seconds(1006)), Moving::No);
    movement.sample(kStart + seconds(1007), in(1, 1, 10), point(1));
    EXPECT_EQ(movement.moving(kStart + seconds(1008)), Moving::Yes);
    EXPECT_EQ(movement.moving(kStart + seconds(1100)), Moving::Unknown);
}

TEST(Movement, CountsBytesBetweenTheEndsAndStaysBoundedFarBehind) {
    Movement movement(seconds(10), kStart);
    for (uint64_t i = 1; i <= 100'000; ++i) {
        movement.sample(kStart + seconds(i), in(i, static_cast<int64_t>(i), i * 100), point(0));
    }
    EXPECT_EQ(movement.lag_bytes(), 10'000'000U);
    movement.sample(kStart + seconds(100'001), in(100'000, 100'000, 10'000'000), point(50'000));
    // Samples are thinned out, so it is told a little late, never too early.
    EXPECT_GE(movement.lag_bytes(), 5'000'000U);
    EXPECT_LT(movement.lag_bytes(), 5'300'000U);
    movement.sample(kStart + seconds(100'002), in(100'000, 100'000, 10'000'000), point(100'000));
    EXPECT_EQ(movement.lag_bytes(), 0U);
    EXPECT_EQ(*movement.lag(WallTime{100'000'000'000}), seconds(0));
}

TEST(Movement, AClockThatIsBehindGivesNoNegativeLag) {
    Movement movement(seconds(10), kStart);
    movement.sample(kStart, in(1, 500, 1), point(1));
    EXPECT_EQ(*movement.lag(WallTime{100'000'000}), seconds(0));
}

}  // namespace
}  // namespace qiao::agent
