#include "qiao/common/async/channel.h"

#include "qiao/common/async/scope.h"
#include "qiao/common/async/sleep.h"
#include "qiao/testing/manual_world.h"

#include <gtest/gtest.h>

namespace qiao {
namespace {

using testing::ManualWorld;

Task<void> send_numbers(Channel<int>& channel, int count, int& sent) {
    for (int i = 0; i < count; ++i) {
        if (!co_await channel.send(i)) {
            co_return;
        }
        ++sent;
    }
    channel.close();
}

Task<std::vector<int>> receive_all(Channel<int>& channel) {
    std::vector<int> got;
    while (auto item = co_await channel.receive()) {
        got.push_back(*item);
    }
    co_return got;
}

TEST(Channel, HoldsTheSenderBackAtItsCapacity) {
    ManualWorld world;
    Channel<int> channel(world, 3);
    TaskScope scope(world);
    int sent = 0;
    scope.spawn(send_numbers(channel, 10, sent));
    world.run();
    EXPECT_EQ(sent, 3);
    EXPECT_EQ(world.run(receive_all(channel)).size(), 10U);
    EXPECT_EQ(sent, 10);
    world.run(scope.join());
}

TEST(Channel, CloseLetsAWaitingSenderGo) {
    ManualWorld world;
    Channel<int> channel(world, 1);
    TaskScope scope(world);
    int sent = 0;
    scope.spawn(send_numbers(channel, 10, sent));
    world.run();
    channel.close();
    world.run(scope.join());
    EXPECT_EQ(sent, 1);
}

TEST(Channel, OneItemHeavierThanTheCapacityPassesAlone) {
    ManualWorld world;
    Channel<int> channel(world, 3);
    EXPECT_TRUE(world.run(channel.send(7, 100)));
    EXPECT_EQ(channel.used(), 100U);
    EXPECT_EQ(world.run(channel.receive()), 7);
    EXPECT_EQ(channel.used(), 0U);
}

Task<void> sleep_into(ManualWorld& world, StopSignal& stop, std::optional<ErrorCode>& outcome) {
    const auto slept = co_await sleep_for(world, world, std::chrono::hours(1), stop);
    outcome = slept ? ErrorCode::DeadlinePassed : slept.error().code();
}

TEST(TaskScope, StopEndsASleepAtOnce) {
    ManualWorld world;
    TaskScope scope(world);
    std::optional<ErrorCode> outcome;
    scope.spawn(sleep_into(world, scope.stop(), outcome));
    world.step();
    scope.request_stop();
    const auto before = world.now();
    world.run(scope.join());
    EXPECT_EQ(outcome, ErrorCode::Cancelled);
    EXPECT_EQ(world.now(), before);
}

}  // namespace
}  // namespace qiao
