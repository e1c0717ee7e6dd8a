#include "qiao/testing/memory_transport.h"

#include "qiao/common/async/scope.h"
#include "qiao/common/async/sleep.h"
#include "qiao/testing/manual_world.h"

#include <gtest/gtest.h>

namespace qiao::testing {
namespace {

/// Two ends of one connection of a memory network.
class MemoryTransportEnds : public ::testing::Test {
protected:
    MemoryTransportEnds() : network(world, world), scope(world) {
        listener = *network.listen({"", 0});
        near = *world.run(network.connect(listener->local(), Deadline::never(), never));
        far = *world.run(listener->accept());
    }

    Task<void> write(Connection& connection, Bytes bytes) {
        outcome = co_await connection.write_all(bytes);
        ++writes_ended;
    }

    /// Up to `count` bytes, or to the end.
    Task<Bytes> read(Connection& connection, size_t count) {
        Bytes got;
        Bytes buffer(1000);
        while (got.size() < count) {
            const auto size = co_await connection.read_some(buffer);
            if (!size) {
                break;
            }
            most_at_once = std::max(most_at_once, *size);
            got.insert(got.end(), buffer.begin(), buffer.begin() + static_cast<ptrdiff_t>(*size));
        }
        co_return got;
    }

    static Bytes pattern(size_t size) {
        Bytes bytes(size);
        for (size_t i = 0; i < size; ++i) {
            bytes[i] = static_cast<std::byte>(i % 251);
        }
        return bytes;
    }

    ManualWorld world;
    MemoryTransport network;
    StopSignal never;
    std::unique_ptr<Listener> listener;
    std::unique_ptr<Connection> near, far;
    Status outcome;
    int writes_ended = 0;
    size_t most_at_once = 0;
    TaskScope scope;
};

TEST_F(MemoryTransportEnds, CarryBytesInOrderBothWays) {
    scope.spawn(write(*near, pattern(1'000'000)));
    EXPECT_EQ(world.run(read(*far, 1'000'000)), pattern(1'000'000));
    scope.spawn(write(*far, pattern(5000)));
    EXPECT_EQ(world.run(read(*near, 5000)), pattern(5000));
    world.run(scope.join());
}

TEST_F(MemoryTransportEnds, HoldTheWriterBackUntilTheReaderReads) {
    scope.spawn(write(*near, pattern(1'000'000)));
    world.run();
    EXPECT_EQ(writes_ended, 0);
    EXPECT_LT(network.bytes_carried(), 300'000U);
    (void)world.run(read(*far, 1'000'000));
    world.run(scope.join());
    EXPECT_EQ(writes_ended, 1);
}

TEST_F(MemoryTransportEnds, DeliverInSmallChunksAndLate) {
    network.set_chunk_bytes(7);
    network.set_delay(std::chrono::milliseconds(40));
    const auto before = world.now();
    scope.spawn(write(*near, pattern(100)));
    EXPECT_EQ(world.run(read(*far, 100)), pattern(100));
    EXPECT_EQ(world.now() - before, std::chrono::milliseconds(40));
    EXPECT_EQ(most_at_once, 7U);
    world.run(scope.join());
}

TEST_F(MemoryTransportEnds, EndAtTheCutAndLoseWhatIsOnTheWay) {
    network.set_delay(std::chrono::milliseconds(40));
    scope.spawn(write(*near, pattern(100)));
    world.run();
    network.cut();
    EXPECT_TRUE(world.run(read(*far, 100)).empty());
    scope.spawn(write(*near, pattern(1)));
    world.run(scope.join());
    EXPECT_EQ(outcome.error().code(), ErrorCode::NetworkClosed);
}

TEST_F(MemoryTransportEnds, EndAfterSoManyBytes) {
    network.set_chunk_bytes(10);
    network.cut_after(55);
    scope.spawn(write(*near, pattern(100)));
    const auto got = world.run(read(*far, 100));
    EXPECT_LE(got.size(), 50U);
    world.run(scope.join());
    EXPECT_EQ(outcome.error().code(), ErrorCode::NetworkClosed);
}

TEST_F(MemoryTransportEnds, SwallowEverythingWithoutAWord) {
    network.swallow();
    scope.spawn(write(*near, pattern(100)));
    world.run(scope.join());
    EXPECT_TRUE(outcome) << "the writer does not notice";
    near->close();
    bool read_ended = false;

    struct Reading {
        static Task<void> until_end(Connection& connection, bool& ended) {
            Bytes buffer(10);
            (void)co_await connection.read_some(buffer);
            ended = true;
        }
    };

    scope.spawn(Reading::until_end(*far, read_ended));
    world.run();
    EXPECT_FALSE(read_ended) << "nor does the other side";
    far->close();
    world.run(scope.join());
}

TEST_F(MemoryTransportEnds, LetTheOtherSideReadWhatWasWrittenBeforeTheClose) {
    scope.spawn(write(*near, pattern(100)));
    world.run(scope.join());
    near->close();
    EXPECT_EQ(world.run(read(*far, 1000)), pattern(100));
}

TEST_F(MemoryTransportEnds, AreNotMadeWithoutAListenerOrWhileRefusing) {
    const auto nobody = world.run(network.connect({"x", 9}, Deadline::never(), never));
    EXPECT_EQ(nobody.error().code(), ErrorCode::NetworkUnreachable);
    network.set_refusing(true);
    const auto refused = world.run(network.connect(listener->local(), Deadline::never(), never));
    EXPECT_EQ(refused.error().code(), ErrorCode::NetworkUnreachable);
}

}  // namespace
}  // namespace qiao::testing
