#include "qiao/common/async/sleep.h"
#include "qiao/trail/trail_world_test.h"

#include <iostream>
#include <set>

/// Each operation of the trail's disk fails once in each way, those of readers and upkeep too.
namespace qiao::trail {
namespace {

using testing::DiskFailure;
using testing::DiskOp;
using testing::FaultPoint;

/// One stream is written, read from disk, released and its segments removed, over two openings.
/// The oracle is what was appended and how much of it was acknowledged.
class Story {
public:
    explicit Story(const FaultPoint& point) : world_(point.n) {
        world_.options.grace = Duration::zero();
        world_.options.tail_cache_bytes = 0;
        world_.storage.strike(point.op, point.n, point.failure);
    }

    /// Whether it met its fault; none: something is wrong.
    std::optional<bool> play() {
        for (int opening = 0; opening < 2; ++opening) {
            for (int i = 0; i < 12; ++i) {
                append();
                if (i % 3 == 2) {
                    synced();
                    read();
                    released();
                }
            }
            close();
        }
        open();
        read();
        const auto held = world_.trail->held_after(stream_id(kStream));
        EXPECT_LE(held.sequence.value, released_) << "removed, and nobody had released it";
        EXPECT_EQ(world_.trail->recovery().damage, std::vector<Damage>{});
        EXPECT_FALSE(world_.trail->status().condition == Condition::Failed);
        if (::testing::Test::HasFailure()) {
            return std::nullopt;
        }
        return world_.storage.struck();
    }

    std::set<std::string> told;

private:
    static constexpr uint8_t kStream = 1;

    /// After an error: what an owner of the trail does.
    void mend(const Error& error) {
        told.emplace(error.info().name);
        (void)world_.close();
        if (world_.storage.crashed()) {
            world_.storage.restart();
        }
        world_.storage.free_space();
    }

    void open() {
        for (int tries = 0; !world_.trail; ++tries) {
            ASSERT_LT(tries, 3);
            if (const auto opened = world_.try_open(); !opened) {
                mend(opened.error());
                continue;
            }
            const auto tail = world_.trail->tail(stream_id(kStream)).value_or(StreamPoint{});
            ASSERT_GE(tail.sequence.value, acknowledged_);
            ASSERT_LE(tail.sequence.value, payloads_.size());
            payloads_.resize(tail.sequence.value);
            acknowledged_ = payloads_.size();
            const auto done = world_.world.run(
                world_.trail->register_consumer(stream_id(kStream), "reader", point(released_))
            );
            if (!done) {
                mend(done.error());
            }
        }
    }

    static StreamPoint point(uint64_t sequence) {
        return sequence == 0 ? StreamPoint{} : at(1, sequence);
    }

    void append() {
        for (int tries = 0; tries < 3; ++tries) {
            open();
            const auto next = at(1, payloads_.size() + 1);
            auto payload = TrailWorld::payload(kStream, next, 12'000);
            payload += fmt::format(";{}", ++version_);
            const auto done = world_.append(kStream, next, payload);
            if (done) {
                payloads_.push_back(std::move(payload));
                return;
            }
            mend(done.error());
        }
        FAIL() << "nothing can be appended any more";
    }

    void synced() {
        open();
        const auto done = world_.world.run(world_.trail->sync());
        if (!done) {
            mend(done.error());
            open();
            return;
        }
        acknowledged_ = payloads_.size();
    }

    /// Everything durable is read as it was written; an error of the disk is not called damage.
    void read() {
        for (int tries = 0; tries < 3; ++tries) {
            open();
            auto cursor = world_.trail->read(stream_id(kStream), point(released_));
            auto record = world_.world.run(cursor.try_next());
            auto sequence = released_;
            for (; record && *record; record = world_.world.run(cursor.try_next())) {
                ASSERT_EQ((*record)->point(), at(1, ++sequence));
                ASSERT_EQ(as_text((*record)->payload()), payloads_.at(sequence - 1));
            }
            if (record) {
                ASSERT_GE(sequence, acknowledged_);
                return;
            }
            mend(record.error());
        }
        FAIL() << "it cannot be read any more";
    }

    void released() {
        open();
        const auto upto = std::max(released_, acknowledged_ - std::min<size_t>(acknowledged_, 2));
        if (world_.trail->release(stream_id(kStream), "reader", point(upto))) {
            released_ = upto;
        }
        StopSignal never;
        (void)world_.world.run(sleep_for(world_.world, world_.world, std::chrono::seconds(1), never)
        );
        if (world_.trail->status().condition == Condition::Failed) {
            mend(world_.world.run(world_.trail->sync()).error());
        }
    }

    void close() {
        open();
        if (const auto closed = world_.close(); !closed) {
            mend(closed.error());
        }
    }

    TrailWorld world_;
    std::vector<std::string> payloads_;
    uint64_t acknowledged_ = 0;
    uint64_t released_ = 0;
    uint64_t version_ = 0;
};

// Spec: R-31
// Source: rules 8, 9
TEST(TrailDisk, EachOperationMayFailAndWhatWasAcknowledgedStays) {
    const auto play = [](const FaultPoint& point) {
        SCOPED_TRACE(point.to_string());
        Story story(point);
        const auto met = story.play();
        for (const auto& name : story.told) {
            EXPECT_TRUE(
                name == "trail.io" || name == "trail.disk_full" || name == "common.storage_io"
            ) << name;
            EXPECT_TRUE(point.failure != DiskFailure::Full || name == "trail.disk_full") << name;
        }
        if (met.value_or(false) && point.failure != DiskFailure::Crash) {
            EXPECT_FALSE(story.told.empty()) << "it was passed over in silence";
        }
        return met;
    };
    const auto count =
        testing::sweep_faults({DiskFailure::Error, DiskFailure::Full, DiskFailure::Crash}, play);
    std::cout << count.to_string() << "\n";
    EXPECT_GT(count.all, 300U);
    using enum DiskOp;
    for (const auto op : {Open, Create, Read, Write, Sync, SyncFolder, Rename, Remove, List}) {
        EXPECT_GT(count.of(op), 5U) << to_text(op);
    }
}

}  // namespace
}  // namespace qiao::trail
