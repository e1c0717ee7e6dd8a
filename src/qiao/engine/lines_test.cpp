#include "qiao/common/crc32c.h"
#include "qiao/engine/inbox_line.h"
#include "qiao/engine/line_world_test.h"
#include "qiao/engine/send_line.h"
#include "qiao/link/two_nodes_test.h"

#include <gtest/gtest.h>

namespace qiao::engine {
namespace {

using link::testing::HandlerOf;
using link::testing::TwoNodes;
using testing::Holder;
using testing::transaction;

constexpr const char* kFlow = "persons";
constexpr size_t kHopBytes = 90;

/// Node `a` sends a stream of random size from its trail, node `b` does with it what the test says.
class TwoHolders {
public:
    TwoHolders() : a(nodes.world, 1), b(nodes.world, 2) {}

    /// Puts so many packets into the trail of `a`.
    void fill(size_t count, size_t bytes = 1000) {
        auto packer = a.packer(tip_);
        for (size_t i = 0; i < count; ++i) {
            transaction(packer, ++number_, bytes);
            packer.flush();
        }
        for (const auto& out : packer.take()) {
            if (out.origin.kind == packet::Kind::Key) {
                ASSERT_TRUE(nodes.world.run(a.keys->keep(out.wire)));
            }
            const StreamPoint point{out.origin.epoch, out.origin.sequence};
            ASSERT_TRUE(nodes.world.run(a.trail->append(a.stream, point, out.wire)));
        }
        tip_ = packer.tip();
        ASSERT_TRUE(nodes.world.run(a.trail->sync()));
    }

    /// One more packet, which wants a feature that this program does not know.
    void fill_newer() {
        auto packer = a.packer(tip_);
        transaction(packer, ++number_);
        packer.flush();
        auto wire = packer.take().front().wire;  // of its key: whatever comes first
        wire.at(8) = std::byte{1};
        const auto view_end = size_t{std::to_integer<size_t>(wire.at(6))} +
                              256 * std::to_integer<size_t>(wire.at(7)) + kHopBytes;
        const auto crc = crc32c(ByteView(wire).first(view_end - sizeof(uint32_t)));
        std::memcpy(&wire.at(view_end - sizeof(crc)), &crc, sizeof(crc));
        const StreamPoint point{tip_.point.epoch, tip_.point.sequence.next()};
        ASSERT_TRUE(nodes.world.run(a.trail->append(a.stream, point, wire)));
        ASSERT_TRUE(nodes.world.run(a.trail->sync()));
    }

    /// Sends once, until the session or the stream ends, to an inbox of `b` or to one that only
    /// states what it holds and takes what comes.
    void send(InboxLine* inbox = nullptr) {
        const auto receive = [this, inbox](link::IncomingStream& offered) {
            return inbox == nullptr ? take_all(offered) : serve(offered, *inbox);
        };
        handler_ = std::make_unique<HandlerOf>(receive);
        nodes.b->set_stream_handler(*handler_);
        nodes.start();
        line = std::make_unique<SendLine>(
            nodes.world,
            *a.trail,
            *a.keys,
            a.stream,
            kFlow,
            [](const link::LevelPoint& /*reached*/) -> Task<Status> { co_return Status{}; }
        );
        nodes.spawn(run_line());
    }

    /// Lets so much time pass; says whether the line has ended.
    bool ended_after(Duration most) {
        nodes.wait(most);
        return ended.has_value();
    }

    TwoNodes nodes;
    Holder a, b;
    std::unique_ptr<SendLine> line;
    std::optional<Error> ended;
    link::StreamState stated;  ///< by `b`
    link::IncomingStream* incoming = nullptr;
    bool served = false;

private:
    Task<void> take_all(link::IncomingStream& stream) {
        incoming = &stream;
        stream.accept(stated);
        while (co_await stream.receive()) {
        }
        served = true;
    }

    Task<void> serve(link::IncomingStream& stream, InboxLine& inbox) {
        co_await inbox.serve(stream);
        served = true;
    }

    Task<void> run_line() { ended = co_await line->run(*nodes.a); }

    ChainTip tip_;
    uint64_t number_ = 0;
    std::unique_ptr<HandlerOf> handler_;
};

// Source: rules 8
TEST(SendLine, ARefusalEndsItAtOnceAlsoWhenThereIsNothingToSend) {
    TwoHolders two;
    two.a.open();
    two.fill(2);
    two.send();
    EXPECT_FALSE(two.ended_after(std::chrono::seconds(5)));
    EXPECT_EQ(two.line->status().packets, 4U);
    two.incoming->refuse(Error(ErrorCode::EngineForked, "by the test"));
    EXPECT_TRUE(two.ended_after(std::chrono::seconds(1)));
    EXPECT_TRUE(two.ended && two.ended->is(ErrorCode::EngineForked));
    two.nodes.finish();
}

// Source: rules 8
TEST(SendLine, AReceiverThatWentBackBehindWhatWasRemovedIsToldSo) {
    TwoHolders two;
    two.a.options.grace = Duration::zero();
    two.a.open();
    two.fill(200);
    ASSERT_TRUE(two.nodes.world.run(
        two.a.trail->register_consumer(two.a.stream, "custody", two.a.trail->held_after({}))
    ));
    ASSERT_TRUE(two.a.trail->release(two.a.stream, "custody", *two.a.trail->tail(two.a.stream)));
    two.nodes.wait(std::chrono::seconds(2));
    const auto removed = two.a.trail->held_after(two.a.stream);
    ASSERT_GT(removed, StreamPoint{});
    two.send();
    EXPECT_TRUE(two.ended_after(std::chrono::seconds(5)));
    ASSERT_TRUE(two.ended);
    EXPECT_TRUE(two.ended->is(ErrorCode::EngineCustodyWentBack)) << two.ended->to_string();
    two.nodes.finish();
}

// Source: rules 2
TEST(SendLine, ADiskThatCannotBeReadIsNotCalledAFork) {
    TwoHolders two;
    two.a.options.tail_cache_bytes = 0;
    two.a.open();
    two.fill(200);
    const auto before = two.a.trail->tail(two.a.stream);
    two.stated.held = {before->epoch, Sequence{3}};
    two.a.disk.cut("trail/segment-000000000001", 100);
    two.send();
    EXPECT_TRUE(two.ended_after(std::chrono::seconds(5)));
    ASSERT_TRUE(two.ended);
    EXPECT_TRUE(two.ended->is(ErrorCode::TrailDamaged)) << two.ended->to_string();
    two.nodes.finish();
}

// As after a rollback by more than the formats allow. Source: rules 7
TEST(SendLine, WhatALaterVersionLeftInTheTrailIsNamedAndKept) {
    TwoHolders two;
    two.a.open();
    two.b.open();
    two.fill(2);
    const auto known = two.a.trail->tail(two.a.stream);
    two.fill_newer();
    const auto newest = two.a.trail->tail(two.a.stream);
    InboxLine inbox(two.nodes.world, *two.b.trail, *two.b.keys, two.b.stream, {}, "b");
    two.send(&inbox);
    EXPECT_TRUE(two.ended_after(std::chrono::seconds(5)));
    ASSERT_TRUE(two.ended);
    EXPECT_TRUE(two.ended->is(ErrorCode::PacketTooNew)) << two.ended->to_string();
    EXPECT_LE(inbox.tip().point, *known);
    EXPECT_EQ(two.a.trail->tail(two.a.stream), newest);
    EXPECT_TRUE(two.nodes.world.run(two.a.trail->find(two.a.stream, *newest)));
    two.nodes.finish();
}

// Source: rules 10
TEST(InboxLine, AFullTrailDoesNotKeepASessionThatHasEnded) {
    TwoHolders two;
    two.a.open();
    two.b.options.disk_budget_bytes = 256U << 10U;
    two.b.open();
    two.fill(400);
    InboxLine inbox(two.nodes.world, *two.b.trail, *two.b.keys, two.b.stream, {}, "b");
    two.send(&inbox);
    two.nodes.wait(std::chrono::seconds(5));
    ASSERT_EQ(two.b.trail->status().waiting_appends, 1U);
    EXPECT_FALSE(two.served);
    const auto tip = inbox.tip();
    two.nodes.a->close(Error(ErrorCode::LinkClosed, "the test cuts it"));
    two.nodes.wait(std::chrono::seconds(5));
    EXPECT_TRUE(two.served);
    EXPECT_EQ(two.b.trail->status().waiting_appends, 0U);
    EXPECT_EQ(inbox.tip(), tip);
    EXPECT_EQ(two.b.trail->tail(two.b.stream), tip.point);
    if (!two.served) {
        (void)two.nodes.world.run(two.b.trail->close());
    }
    two.nodes.finish();
}

}  // namespace
}  // namespace qiao::engine
