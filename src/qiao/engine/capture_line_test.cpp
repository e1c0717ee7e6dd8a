#include "qiao/engine/capture_line.h"

#include "qiao/common/async/sleep.h"
#include "qiao/engine/line_world_test.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace qiao::engine {
namespace {

using capture::TransactionSink;
using packet::Kind;
using testing::change;
using testing::head;
using testing::Holder;
using testing::ManualWorld;
using testing::ScriptedSource;
using testing::transaction;

/// A capture line with its source, running.
class Capture {
public:
    explicit Capture(trail::TrailOptions options = {})
        : source(world), holder(world), scope_(world) {
        if (options.disk_budget_bytes != trail::TrailOptions{}.disk_budget_bytes) {
            holder.options.disk_budget_bytes = options.disk_budget_bytes;
        }
        holder.open();
        line = std::make_unique<CaptureLine>(
            CaptureLine::Parts{world, world, world, *holder.trail, *holder.keys, source},
            holder.stream,
            holder.packer()
        );
        scope_.spawn(run());
    }

    ~Capture() { stop(); }

    void stop() {
        scope_.request_stop();
        world.run(scope_.join());
    }

    /// Everything that is ready now, without a step of the clock.
    void settle() {
        for (int i = 0; i < 300; ++i) {
            world.run(one_turn());
        }
    }

    StreamPoint durable() const { return line->status().durable.point; }

    ManualWorld world;
    ScriptedSource source;
    Holder holder;
    std::unique_ptr<CaptureLine> line;
    Status ended;

private:
    Task<void> run() { ended = co_await line->run(scope_.stop()); }

    Task<void> one_turn() { co_await testing::turn(world); }

    TaskScope scope_;
};

// Spec: R-20
TEST(CaptureLine, ATransactionThatComesInPiecesIsOnePacket) {
    Capture capture;
    capture.source.add([](TransactionSink& sink) { sink.begin(head(1)); });
    for (int i = 0; i < 10; ++i) {
        capture.settle();
        capture.source.add([](TransactionSink& sink) { change(sink); });
    }
    capture.settle();
    EXPECT_EQ(capture.holder.rows_packets(), 0U);
    capture.source.add([](TransactionSink& sink) { sink.commit(head(1)); });
    capture.settle();
    EXPECT_EQ(capture.holder.kinds(), (std::vector{Kind::Key, Kind::Epoch, Kind::Rows}));
}

// Spec: R-20
TEST(CaptureLine, OneSmallTransactionIsDurableWithoutWaitingForTheClock) {
    Capture capture;
    capture.settle();
    const auto before = capture.world.now();
    capture.source.add([](TransactionSink& sink) { transaction(sink, 1); });
    capture.settle();
    EXPECT_EQ(capture.holder.rows_packets(), 1U);
    EXPECT_EQ(capture.line->status().durable.position, head(1).commit);
    EXPECT_EQ(capture.world.now(), before);
}

// Spec: R-20
TEST(CaptureLine, SmallTransactionsGatherWhileTheDiskIsBusy) {
    Capture capture;
    for (uint64_t number = 1; number <= 200; ++number) {
        capture.source.add([number](TransactionSink& sink) { transaction(sink, number); });
    }
    capture.settle();
    capture.settle();
    EXPECT_EQ(capture.line->status().durable.position, head(200).commit);
    EXPECT_LT(capture.holder.rows_packets(), 100U);
    EXPECT_EQ(capture.line->status().counts.transactions, 200U);
}

// Source: rules 8
TEST(CaptureLine, TheSourceKeepsWhatIsDeliveredAndNotYetInTheTrail) {
    Capture capture;
    capture.source.add([](TransactionSink& sink) { transaction(sink, 1); });
    capture.settle();
    const auto first = capture.durable();
    capture.source.turns = 100;
    capture.source.add([](TransactionSink& sink) {
        transaction(sink, 2);
        sink.begin(head(3));
        change(sink);
    });
    for (int i = 0; i < 20; ++i) {
        (void)capture.world.step();
    }
    ASSERT_EQ(capture.durable(), first);
    ASSERT_TRUE(capture.world.run(capture.line->release(first)));
    EXPECT_EQ(capture.source.confirmed, head(1).commit);
}

// Source: rules 10
TEST(CaptureLine, AFullTrailStopsTheSourceAndStopEndsTheWait) {
    trail::TrailOptions small;
    small.disk_budget_bytes = 4U << 20U;
    Capture capture(small);
    uint64_t delivered = 0;
    for (uint64_t number = 1; number <= 300; ++number) {
        capture.source.add([number, &delivered](TransactionSink& sink) {
            transaction(sink, number, 100'000);
            delivered = number;
        });
    }
    capture.settle();
    capture.settle();
    EXPECT_EQ(capture.holder.trail->status().waiting_appends, 1U);
    EXPECT_LT(delivered, 200U);
    capture.stop();
    EXPECT_TRUE(capture.ended) << capture.ended.error().to_string();
}

// Source: rules 5, 10
TEST(CaptureLine, ATransactionThatStaysOpenDoesNotFillTheTrail) {
    trail::TrailOptions small;
    small.disk_budget_bytes = 4U << 20U;
    Capture capture(small);
    capture.source.add([](TransactionSink& sink) {
        sink.begin_block(1);
        change(sink);
        sink.end_block();
    });
    const auto deliver = [&capture](uint64_t number) {
        capture.source.add([number](TransactionSink& sink) { transaction(sink, number, 100'000); });
        capture.settle();
    };
    for (uint64_t number = 2; number <= 9; ++number) {
        deliver(number);
    }
    EXPECT_TRUE(capture.source.ahead_allowed);
    EXPECT_EQ(capture.source.starts, 1);
    for (uint64_t number = 10; number <= 13; ++number) {
        deliver(number);
    }
    EXPECT_FALSE(capture.source.ahead_allowed);
    ASSERT_TRUE(capture.line->status().last_error);
    EXPECT_TRUE(capture.line->status().last_error->is(ErrorCode::EngineAheadHeld));
    // The open one is void for whoever reads the stream, and comes again when it has committed.
    const auto kinds = capture.holder.kinds();
    EXPECT_EQ(std::ranges::count(kinds, packet::Kind::Abort), 1);
}

TEST(CaptureLine, ADiskThatFailsEndsTheLine) {
    for (uint64_t n = 1; n < 12; ++n) {
        Capture capture;
        capture.settle();
        capture.holder.disk.fail_change(n);
        for (uint64_t number = 1; number <= 20; ++number) {
            capture.source.add([number](TransactionSink& sink) { transaction(sink, number); });
            capture.settle();
        }
        ASSERT_TRUE(capture.holder.disk.failed()) << n;
        capture.stop();
        EXPECT_FALSE(capture.ended) << n;
    }
}

}  // namespace
}  // namespace qiao::engine
