#include "qiao/drivers/source_caps.h"

#include "qiao/testing/manual_world.h"

#include <gtest/gtest.h>

namespace qiao::drivers {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(SourceCaps, GivesSoManyPlacesAndTakesThemBack) {
    testing::ManualWorld world{1};
    SourceCaps caps(world, world, {.connections = 2});
    auto first = caps.take_place();
    {
        const auto second = caps.take_place();
        ASSERT_TRUE(second);
        const auto third = caps.take_place();
        ASSERT_FALSE(third);
        EXPECT_TRUE(third.error().is(ErrorCode::DbResource));
        EXPECT_NE(third.error().detail().find("2 of 2"), std::string::npos);
    }
    auto moved = *std::move(first);
    EXPECT_EQ(caps.usage().connections, 1U);
    EXPECT_TRUE(caps.take_place());
    moved = SourceCaps::Place();
    EXPECT_EQ(caps.usage().connections, 0U);
    EXPECT_EQ(caps.usage().connections_most, 2U);
}

TEST(SourceCaps, WithoutBoundsItOnlyCounts) {
    testing::ManualWorld world{1};
    SourceCaps caps(world, world, {});
    std::vector<SourceCaps::Place> places;
    for (int i = 0; i < 100; ++i) {
        places.push_back(*caps.take_place());
    }
    EXPECT_EQ(caps.usage().connections, 100U);
    StopSignal never;
    const auto before = world.now();
    ASSERT_TRUE(world.run(caps.pass(1'000'000, never)));
    EXPECT_EQ(world.now(), before);
}

TEST(SourceCaps, ReadsNoMoreRowsASecondThanItMay) {
    testing::ManualWorld world{1};
    SourceCaps caps(world, world, {.rows_per_second = 1000});
    StopSignal never;
    const auto before = world.now();
    for (int i = 0; i < 50; ++i) {
        ASSERT_TRUE(world.run(caps.pass(100, never)));
        EXPECT_LE(caps.usage().rows_per_second, 1100U);
    }
    EXPECT_GE(world.now() - before, milliseconds(4900));
    EXPECT_GE(caps.usage().rows_per_second, 900U);
}

TEST(SourceCaps, RemembersTheLongestStatement) {
    testing::ManualWorld world{1};
    SourceCaps caps(world, world, {.statement_time = seconds(5)});
    caps.note_statement(milliseconds(30));
    caps.note_statement(milliseconds(20));
    EXPECT_EQ(caps.usage().longest_statement, milliseconds(30));
    EXPECT_EQ(caps.usage().limits.statement_time, seconds(5));
}

}  // namespace
}  // namespace qiao::drivers
