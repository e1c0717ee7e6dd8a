#include "qiao/link/internal/send_queue.h"

#include "qiao/common/async/scope.h"
#include "qiao/link/two_nodes_test.h"

namespace qiao::link::internal {
namespace {

using namespace link::testing;

class SendQueueTest : public ::testing::Test {
protected:
    static constexpr size_t kBytesMax = 4'000'000;

    std::shared_ptr<Lane> lane() { return std::make_shared<Lane>(world); }

    static OutFrame packet(uint8_t lane_number, size_t bytes) {
        return encode(DataFrame{stream_id(lane_number), 1, point(1), Bytes(bytes)});
    }

    /// Everything that is there, in the order in which it goes out: type, and first byte of the id.
    std::vector<std::pair<FrameType, uint8_t>> take_all() {
        std::vector<std::pair<FrameType, uint8_t>> order;
        Batch batch;
        for (queue.take(batch, world.now()); !batch.empty(); queue.take(batch, world.now())) {
            auto bytes = batch.small;
            bytes.insert(bytes.end(), batch.large.begin(), batch.large.end());
            ByteReader reader(bytes);
            while (!reader.at_end()) {
                const auto length = reader.get<uint32_t>();
                const auto type = static_cast<FrameType>(reader.get<uint8_t>());
                order.emplace_back(type, ByteReader(reader.take(length)).get<uint8_t>());
            }
        }
        return order;
    }

    ManualWorld world;
    SendQueue queue{world, kBytesMax, TokenBucket(0, world.now())};
};

TEST_F(SendQueueTest, SaysOnlyTheNewestOfEachStatementAndStatementsFirst) {
    const auto lane_one = lane();
    queue.put_now(lane_one, packet(1, 10));
    for (uint64_t allowed = 1; allowed <= 1000; ++allowed) {
        queue.put_statement(WindowFrame{stream_id(2), 1, allowed});
        queue.put_statement(AckFrame{stream_id(3), {}});
    }
    const auto order = take_all();
    ASSERT_EQ(order.size(), 3U);
    EXPECT_EQ(order[0].first, FrameType::Window);
    EXPECT_EQ(order[1].first, FrameType::Ack);
    EXPECT_EQ(order[2].first, FrameType::Data);
    EXPECT_FALSE(queue.flooded());
}

TEST_F(SendQueueTest, GivesLanesTurnsOfEqualBytes) {
    const auto large = lane();
    const auto small = lane();
    for (int i = 0; i < 10; ++i) {
        queue.put_now(large, packet(1, 500'000));
    }
    for (int i = 0; i < 5000; ++i) {
        queue.put_now(small, packet(2, 1000));
    }
    size_t large_bytes = 0;
    size_t small_bytes = 0;
    for (const auto& [type, number] : take_all()) {
        (number == 1 ? large_bytes : small_bytes) += number == 1 ? 500'000U : 1000U;
        if (large_bytes < 5'000'000 && small_bytes < 5'000'000) {
            const auto apart =
                large_bytes > small_bytes ? large_bytes - small_bytes : small_bytes - large_bytes;
            ASSERT_LE(apart, 700'000U);
        }
    }
    EXPECT_EQ(large_bytes, 5'000'000U);
    EXPECT_EQ(queue.bytes(), 0U);
}

Task<void> put_many(SendQueue& queue, std::shared_ptr<Lane> lane, OutFrame frame, size_t& put) {
    for (int i = 0; i < 20; ++i) {
        if (!co_await queue.put(lane, frame)) {
            co_return;
        }
        ++put;
    }
}

TEST_F(SendQueueTest, BoundsAllLanesTogetherAndLetsEachInAgain) {
    TaskScope scope(world);
    std::vector<size_t> put(40);
    for (size_t i = 0; i < put.size(); ++i) {
        scope.spawn(put_many(queue, lane(), packet(static_cast<uint8_t>(i), 300'000), put[i]));
    }
    size_t out = 0;
    while (scope.running() != 0) {
        world.run();
        ASSERT_LE(queue.bytes(), kBytesMax);
        Batch batch;
        queue.take(batch, world.now());
        ASSERT_FALSE(batch.empty()) << "somebody must get in";
        out += batch.frames;
    }
    EXPECT_EQ(out + take_all().size(), 40U * 20U);
    EXPECT_EQ(put, std::vector<size_t>(40, 20));
}

TEST_F(SendQueueTest, LetsWaitersGoWhenItCloses) {
    TaskScope scope(world);
    const auto full = lane();
    size_t put = 0;
    scope.spawn(put_many(queue, full, packet(1, 600'000), put));
    world.run();
    EXPECT_EQ(put, 1U);
    queue.close_lanes();
    world.run(scope.join());
    EXPECT_EQ(put, 1U);
}

}  // namespace
}  // namespace qiao::link::internal
