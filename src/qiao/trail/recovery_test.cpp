#include "qiao/common/crc32c.h"
#include "qiao/trail/trail_world_test.h"

#include <algorithm>
#include <random>

/// What is left after crashes, failing disks and rot. The oracle is the order in which records were
/// appended and what was acknowledged of it.
namespace qiao::trail {
namespace {

using Lines = std::vector<std::string>;

constexpr uint8_t kStreams = 5;

struct Appended {
    uint8_t stream;
    StreamPoint point;
    std::string payload;
};

/// Everything appended by all streams, in order, and how much of it was acknowledged durable.
struct History {
    std::vector<Appended> records;
    size_t acknowledged = 0;
    uint64_t version = 0;  ///< goes into payloads: the same sequence comes back with other bytes

    StreamPoint tail(uint8_t stream) const {
        const auto last =
            std::ranges::find(records.rbegin(), records.rend(), stream, &Appended::stream);
        return last == records.rend() ? StreamPoint{} : last->point;
    }
};

Task<void> write_stream(TrailWorld& world, History& history, uint8_t stream, int steps) {
    for (int step = 0; step < steps; ++step) {
        const auto tail = history.tail(stream);
        const bool new_epoch = tail == StreamPoint{} || world.world.number() % 30 == 0;
        const auto point = new_epoch ? StreamPoint{tail.epoch.next(), {1}}
                                     : StreamPoint{tail.epoch, tail.sequence.next()};
        auto payload = fmt::format("v{} ", ++history.version);
        payload.resize(payload.size() + world.world.number() % 3000, 'p');
        const auto done = co_await world.trail->append(stream_id(stream), point, as_bytes(payload));
        if (!done) {
            co_return;
        }
        history.records.push_back({stream, point, payload});
        if (world.world.number() % 4 != 0) {
            continue;
        }
        const auto seen = history.records.size();
        const auto durable = co_await world.trail->wait_durable(stream_id(stream), point);
        if (!durable) {
            co_return;
        }
        history.acknowledged = std::max(history.acknowledged, seen);
    }
}

void write_all(TrailWorld& world, History& history, int steps) {
    TaskScope scope(world.world);
    for (uint8_t stream = 1; stream <= kStreams; ++stream) {
        scope.spawn(write_stream(world, history, stream, steps));
    }
    world.world.run(scope.join());
}

/// The trail holds exactly a prefix of the history, with all that was acknowledged. What is behind
/// the prefix never happened.
void expect_prefix(TrailWorld& world, History& history) {
    EXPECT_EQ(world.trail->recovery().damage, std::vector<Damage>{});
    std::map<uint8_t, Lines> held;
    size_t total = 0;
    for (uint8_t stream = 1; stream <= kStreams; ++stream) {
        held[stream] = world.read(stream);
        total += held[stream].size();
    }
    ASSERT_GE(total, history.acknowledged);
    ASSERT_LE(total, history.records.size());
    history.records.resize(total);
    std::map<uint8_t, Lines> expected;
    for (const auto& record : history.records) {
        expected[record.stream].push_back(text_of(record.point) + "=" + record.payload);
    }
    for (uint8_t stream = 1; stream <= kStreams; ++stream) {
        ASSERT_EQ(held[stream], expected[stream]) << "stream " << int{stream};
    }
    history.acknowledged = total;
}

// Spec: R-31
TEST(TrailRecovery, WhatWasAcknowledgedIsReadBackAfterAnyCrash) {
    for (uint64_t seed = 1; seed <= 150; ++seed) {
        SCOPED_TRACE(seed);
        TrailWorld world(seed);
        world.options.tail_cache_bytes = 0;
        History history;
        for (int crash = 0; crash < 4; ++crash) {
            world.storage.crash_at_change(1 + world.world.number() % 120);
            if (world.try_open()) {
                write_all(world, history, 40);
            }
            world.power_cycle_now();
            world.open();
            expect_prefix(world, history);
            if (HasFatalFailure()) {
                return;
            }
            world.must(world.close());
        }
    }
}

/// Every write, sync, creation, rename and removal fails once, the last one at the very end.
void fail_each_change(bool with_crash) {
    for (uint64_t n = 1;; ++n) {
        SCOPED_TRACE(n);
        TrailWorld world(n);
        History history;
        world.storage.fail_change(n);
        const auto opened = world.try_open();
        if (opened) {
            write_all(world, history, 60);
        }
        if (!world.storage.failed()) {
            EXPECT_GT(n, 100U);
            return;
        }
        if (opened) {
            const auto tail = world.trail->tail(stream_id(1)).value_or(StreamPoint{});
            const StreamPoint next{
                tail == StreamPoint{} ? Epoch{1} : tail.epoch, tail.sequence.next()
            };
            EXPECT_EQ(code_of(world.append(1, next, "after the failure")), "trail.io");
            EXPECT_EQ(code_of(world.world.run(world.trail->sync())), "trail.io");
            EXPECT_EQ(world.trail->status().condition, Condition::Failed);
            EXPECT_EQ(code_of(world.close()), "trail.io");
        }
        if (with_crash) {
            world.power_cycle_now();
        }
        world.open();
        expect_prefix(world, history);
        world.power_cycle_now();  // what was read back after the failure is truly on the disk
        world.open();
        expect_prefix(world, history);
        if (::testing::Test::HasFatalFailure()) {
            return;
        }
    }
}

TEST(TrailRecovery, AnyFailedChangeEndsTheWriterAndLosesNothingAcknowledged) {
    fail_each_change(false);
}

TEST(TrailRecovery, AFailedChangeAndThenACrashLoseNothingAcknowledged) { fail_each_change(true); }

TEST(TrailRecovery, AFullDiskEndsTheWriterAndLosesNothingAcknowledged) {
    for (uint64_t capacity = 1000; capacity < 200'000; capacity += 7919) {
        SCOPED_TRACE(capacity);
        TrailWorld world(capacity);
        History history;
        world.storage.set_capacity(capacity);
        if (world.try_open()) {
            write_all(world, history, 100);
            EXPECT_EQ(code_of(world.close()), "trail.disk_full");
        }
        world.storage.set_capacity(0);
        EXPECT_EQ(code_of(world.try_open()), "trail.disk_full");
        world.storage.set_capacity(UINT64_MAX);
        world.open();
        expect_prefix(world, history);
    }
}

TEST(TrailRecovery, ATornTailAboveTheMarkIsCut) {
    TrailWorld world;
    world.open();
    world.fill(1, 1, 10);
    world.must(world.close());
    const auto path = world.segment_path(1);
    auto content = *world.storage.content(path);
    const auto whole = content.size();
    content.insert(content.end(), 777, std::byte{0x5a});
    world.storage.put(path, content);
    world.open();
    EXPECT_EQ(world.trail->recovery().cut_bytes, 777U);
    EXPECT_EQ(world.trail->recovery().damage, std::vector<Damage>{});
    EXPECT_EQ(world.count(1), 10U);
    EXPECT_EQ(world.storage.content(path)->size(), whole);
    world.fill(1, 11, 12);
    world.reopen();
    EXPECT_EQ(world.count(1), 12U);
}

TEST(TrailRecovery, DamageBelowTheMarkIsNamedAndNeverCut) {
    for (const uint64_t place : {45U, 90U, 3'100U, 30'000U, 60'000U}) {
        SCOPED_TRACE(place);
        TrailWorld world;
        world.open();
        for (uint64_t sequence = 1; sequence <= 60; ++sequence) {
            for (uint8_t stream = 1; stream <= 3; ++stream) {
                world.fill(stream, sequence, sequence, 500);
            }
        }
        world.must(world.close());
        const auto before = world.storage.content(world.segment_path(1))->size();
        world.storage.flip(world.segment_path(1), place);
        world.open();
        const auto& damage = world.trail->recovery().damage;
        ASSERT_FALSE(damage.empty());
        EXPECT_EQ(damage[0].kind, Damage::Kind::Record);
        EXPECT_EQ(damage[0].segment, 1U);
        EXPECT_LE(damage[0].offset, place);
        EXPECT_GT(damage[0].offset + damage[0].bytes, place);
        EXPECT_EQ(world.trail->recovery().cut_bytes, 0U);
        EXPECT_GE(world.storage.content(world.segment_path(1))->size(), before);
    }
}

/// One record of one stream rots; the others and the stream behind it stay readable.
TEST(TrailRecovery, WhatLiesAroundDamageStaysReadable) {
    for (const bool while_open : {false, true}) {
        SCOPED_TRACE(while_open);
        TrailWorld world;
        world.options.tail_cache_bytes = 0;
        world.open();
        for (uint64_t sequence = 1; sequence <= 20; ++sequence) {
            world.fill(1, sequence, sequence, 5000);
            world.fill(2, sequence, sequence, 5000);
        }
        world.reopen();
        if (!while_open) {
            world.must(world.close());
        }
        // Definitions of both streams, then records of 5 032 bytes: this is 1.3 of stream 1.
        world.storage.flip(world.segment_path(1), 40 + 2 * 48 + 4 * 5032 + 2500);
        if (!while_open) {
            world.open();
            EXPECT_EQ(world.trail->recovery().damage.size(), 2U);
            const auto& hole = world.trail->recovery().damage.back();
            EXPECT_EQ(hole.kind, Damage::Kind::Hole);
            EXPECT_EQ(hole.stream, stream_id(1));
            EXPECT_EQ(hole.after, at(1, 2));
            EXPECT_EQ(hole.upto, at(1, 3));
        }
        EXPECT_EQ(world.count(2), 20U);
        auto cursor = world.trail->read(stream_id(1), {});
        for (int record = 0; record < 2; ++record) {
            EXPECT_TRUE(world.world.run(cursor.try_next()));
        }
        EXPECT_EQ(code_of(world.world.run(cursor.try_next())), "trail.damaged");
        EXPECT_EQ(code_of(world.world.run(cursor.try_next())), "trail.damaged");
        const auto next = world.world.run(cursor.skip_damage());
        ASSERT_TRUE(next && *next);
        EXPECT_EQ(**next, at(1, 4));
        for (uint64_t sequence = 4; sequence <= 20; ++sequence) {
            const auto record = world.world.run(cursor.try_next());
            ASSERT_TRUE(record && *record);
            EXPECT_EQ((*record)->point(), at(1, sequence));
        }
        EXPECT_EQ(
            code_of(world.world.run(world.trail->find(stream_id(1), at(1, 3)))), "trail.damaged"
        );
        EXPECT_EQ(code_of(world.world.run(world.trail->find(stream_id(1), at(1, 5)))), "ok");
    }
}

/// Each single flipped byte of a closed trail is noticed, and no record is ever read wrong.
TEST(TrailRecovery, NoFlippedByteGoesUnnoticed) {
    TrailWorld origin;
    origin.open();
    origin.fill(1, 1, 3, 40);
    origin.fill(2, 1, 2, 40);
    origin.must(origin.close());
    const auto segment = *origin.storage.content(origin.segment_path(1));
    const auto mark = *origin.storage.content("state/trail/mark");
    for (uint64_t place = 0; place < segment.size(); ++place) {
        SCOPED_TRACE(place);
        TrailWorld world;
        world.storage.put(world.segment_path(1), segment);
        world.storage.put("state/trail/mark", mark);
        world.storage.flip(world.segment_path(1), place, static_cast<uint8_t>(1U << (place % 8)));
        const auto opened = world.try_open();
        if (!opened) {
            EXPECT_EQ(code_of(opened), "trail.newer_format");
            continue;
        }
        EXPECT_FALSE(world.trail->recovery().damage.empty());
        for (const auto& line : world.read(1)) {
            const bool right =
                line == "trail.damaged" || line == "trail.gone" ||
                line.substr(line.find('=') + 1) ==
                    TrailWorld::payload(1, at(1, static_cast<uint64_t>(line[2] - '0')), 40);
            EXPECT_TRUE(right) << line;
        }
    }
}

TEST(TrailRecovery, OneTornMarkSlotIsMadeUpForByTheOther) {
    TrailWorld world;
    world.open();
    world.fill(1, 1, 3);
    world.sync();
    world.fill(1, 4, 5);
    world.must(world.close());
    for (const uint64_t slot : {0U, 4096U}) {
        auto mark = *world.storage.content("state/trail/mark");
        world.storage.flip("state/trail/mark", slot + 20);
        world.open();
        EXPECT_EQ(world.trail->recovery().damage, std::vector<Damage>{});
        EXPECT_EQ(world.count(1), 5U);
        world.must(world.close());
        world.storage.put("state/trail/mark", mark);
    }
    world.storage.flip("state/trail/mark", 20);
    world.storage.flip("state/trail/mark", 4096 + 20);
    world.open();
    ASSERT_EQ(world.trail->recovery().damage.size(), 1U);
    EXPECT_EQ(world.trail->recovery().damage[0].kind, Damage::Kind::Mark);
    EXPECT_EQ(world.count(1), 5U);
}

TEST(TrailRecovery, AMissingOrShortenedSegmentIsDamage) {
    for (const bool whole : {false, true}) {
        TrailWorld world;
        world.open();
        world.fill(1, 1, 200);
        world.must(world.close());
        if (whole) {
            world.must(world.world.run(world.storage.remove(world.segment_path(2))));
        } else {
            world.storage.cut(world.segment_path(2), 30'000);
        }
        world.open();
        const auto& damage = world.trail->recovery().damage;
        ASSERT_FALSE(damage.empty());
        EXPECT_EQ(damage.back().kind, Damage::Kind::Hole);
        const auto held = world.read(1);
        EXPECT_EQ(held.back(), "trail.damaged");
        EXPECT_EQ(world.count(1, damage.back().upto), 200 - damage.back().upto.sequence.value);
        // Fetched again from the node before: the stream goes on behind what is whole.
        world.must(world.world.run(world.trail->restart(stream_id(1), damage.back().after)));
        world.fill(1, damage.back().after.sequence.value + 1, 200);
        world.reopen();
        EXPECT_EQ(world.trail->tail(stream_id(1)), at(1, 200));
        const auto start = world.trail->held_after(stream_id(1));
        EXPECT_EQ(world.count(1, start), 200 - start.sequence.value);
    }
}

TEST(TrailRecovery, AShortenedNewestSegmentIsDamageAndWritingGoesOnBehindIt) {
    TrailWorld world;
    world.open();
    world.fill(1, 1, 20);
    world.must(world.close());
    world.storage.cut(world.segment_path(1), 10'000);
    world.open();
    ASSERT_EQ(world.trail->recovery().damage.size(), 2U);  // a piece of a record, then nothing
    EXPECT_EQ(world.trail->recovery().damage[0].kind, Damage::Kind::Record);
    EXPECT_EQ(world.trail->recovery().damage[1].kind, Damage::Kind::Missing);
    EXPECT_EQ(world.trail->tail(stream_id(1)), at(1, 9));
    world.fill(1, 10, 20);
    world.reopen();
    EXPECT_EQ(world.count(1), 20U);
}

TEST(TrailRecovery, ANewerFormatIsRefused) {
    TrailWorld world;
    world.storage.put(world.segment_path(1), Bytes(10));
    world.open();
    world.fill(1, 1, 1);
    world.must(world.close());
    // Major version 2 with its right checksum, in both slots.
    auto mark = *world.storage.content("state/trail/mark");
    for (const size_t slot : {size_t{0}, size_t{4096}}) {
        mark[slot + 8] = std::byte{2};
        const auto crc = crc32c(ByteView(mark).subspan(slot, 40));
        std::memcpy(&mark[slot + 40], &crc, sizeof(crc));
    }
    world.storage.put("state/trail/mark", mark);
    EXPECT_EQ(code_of(world.try_open()), "trail.newer_format");
}

}  // namespace
}  // namespace qiao::trail
