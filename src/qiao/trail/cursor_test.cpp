#include "qiao/trail/cursor.h"

#include "qiao/trail/trail_world_test.h"

namespace qiao::trail {
namespace {

TEST(Cursor, AtTheTailReadsMemoryAndNotTheDisk) {
    TrailWorld world;
    world.open();
    world.fill(1, 1, 200);
    world.sync();
    const auto before = world.storage.reads();
    EXPECT_EQ(world.count(1), 200U);
    EXPECT_EQ(world.storage.reads(), before);
}

TEST(Cursor, FarBehindReadsTheDiskInBlocks) {
    TrailWorld world;
    world.options.segment_bytes = 1U << 20U;
    world.open();
    world.fill(1, 1, 900);
    world.reopen();
    const auto before = world.storage.reads();
    EXPECT_EQ(world.count(1), 900U);
    EXPECT_LE(world.storage.reads() - before, 4U);
}

TEST(Cursor, AmongManyStreamsReadsHardlyMoreThanItsOwn) {
    TrailWorld world;
    world.options.segment_bytes = 1U << 20U;
    world.open();
    for (uint64_t sequence = 1; sequence <= 20; ++sequence) {
        for (uint8_t stream = 1; stream <= 40; ++stream) {
            world.fill(stream, sequence, sequence);
        }
    }
    world.reopen();
    const auto before = world.storage.reads();
    EXPECT_EQ(world.count(7), 20U);
    EXPECT_EQ(world.storage.reads() - before, 20U);
}

/// More segments than keep their entries in memory; two readers at different places.
TEST(Cursor, ReadsSegmentsWhosePlacesWereForgotten) {
    TrailWorld world;
    world.options.tail_cache_bytes = 0;
    world.open();
    world.fill(1, 1, 1500);
    world.reopen();
    ASSERT_GT(world.trail->status().segments, 20U);
    auto early = world.trail->read(stream_id(1), {});
    auto late = world.trail->read(stream_id(1), at(1, 700));
    for (uint64_t step = 1; step <= 800; ++step) {
        const auto first = world.world.run(early.try_next());
        const auto second = world.world.run(late.try_next());
        ASSERT_TRUE(first && *first && second && *second);
        EXPECT_EQ((*first)->point(), at(1, step));
        EXPECT_EQ(as_text((*second)->payload()), TrailWorld::payload(1, at(1, 700 + step), 1000));
    }
    world.fill(1, 1501, 1600);
    world.reopen();
    EXPECT_EQ(world.count(1), 1600U);
    EXPECT_EQ(world.trail->recovery().damage, std::vector<Damage>{});
}

/// Small segments fill faster than they are written; their files tell less than was appended.
TEST(Cursor, WaitsForSegmentsThatAreNotWrittenYetHoweverManyThereAre) {
    TrailWorld world;
    world.options.tail_cache_bytes = 0;
    world.open();
    world.fill(1, 1, 100);
    world.sync();
    world.fill(1, 101, 1000);  // less than is written without a sync
    ASSERT_GT(world.trail->status().segments, 12U);
    for (const uint64_t after : {0U, 99U, 100U}) {
        EXPECT_EQ(world.read(1, at(1, after)).size(), 100 - after);
        auto cursor = world.trail->read(stream_id(1), at(1, 100));
        EXPECT_EQ(code_of(world.world.run(cursor.try_next())), "ok");
    }
    world.sync();
    EXPECT_EQ(world.count(1), 1000U);
    EXPECT_EQ(world.read(1).back(), "1.1000=" + TrailWorld::payload(1, at(1, 1000), 1000));
}

TEST(Cursor, ARecordOutlivesTheMemoryItWasReadFrom) {
    TrailWorld world;
    world.options.tail_cache_bytes = 0;
    world.open();
    world.fill(1, 1, 1);
    world.sync();
    auto cursor = world.trail->read(stream_id(1), {});
    const auto record = world.world.run(cursor.try_next());
    ASSERT_TRUE(record && *record);
    world.fill(1, 2, 3000);
    world.must(world.close());
    EXPECT_EQ(as_text((*record)->payload()), TrailWorld::payload(1, at(1, 1), 1000));
}

Task<void> follow(Trail& trail, uint8_t stream, uint64_t upto, uint64_t& seen, StopSignal& stop) {
    auto cursor = trail.read(stream_id(stream), {});
    while (seen < upto) {
        const auto record = co_await cursor.next(stop);
        if (!record || record->point().sequence.value != seen + 1) {
            co_return;
        }
        ++seen;
    }
}

TEST(Cursor, FollowersSeeEveryRecordOnceWhileTheWriterGoesOn) {
    TrailWorld world;
    world.options.tail_cache_bytes = 0;
    world.open();
    std::array<uint64_t, 10> seen{};
    TaskScope scope(world.world);
    for (uint8_t stream = 0; stream < 10; ++stream) {
        scope.spawn(follow(*world.trail, stream, 200, seen[stream], scope.stop()));
    }
    for (uint64_t sequence = 1; sequence <= 200; ++sequence) {
        for (uint8_t stream = 0; stream < 10; ++stream) {
            world.fill(stream, sequence, sequence);
        }
        if (sequence % 7 == 0) {
            world.sync();
        }
    }
    world.sync();
    world.world.run(scope.join());
    for (const auto count : seen) {
        EXPECT_EQ(count, 200U);
    }
}

}  // namespace
}  // namespace qiao::trail
