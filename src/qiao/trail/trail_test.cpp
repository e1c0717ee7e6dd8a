#include "qiao/trail/trail.h"

#include "qiao/common/posix_storage.h"
#include "qiao/testing/temp_folder.h"
#include "qiao/trail/trail_world_test.h"

#include <random>

namespace qiao::trail {
namespace {

using Lines = std::vector<std::string>;

// Spec: R-31
TEST(Trail, GivesBackWhatWasAppendedInOrderAfterReopening) {
    TrailWorld world;
    world.open();
    world.must(world.append(1, at(1, 1), "first"));
    world.must(world.append(2, at(7, 1), "other"));
    world.must(world.append(1, at(1, 2), ""));
    world.reopen();
    EXPECT_EQ(world.read(1), (Lines{"1.1=first", "1.2="}));
    EXPECT_EQ(world.read(2), (Lines{"7.1=other"}));
    EXPECT_EQ(world.trail->streams(), (std::vector{stream_id(1), stream_id(2)}));
    EXPECT_EQ(world.trail->tail(stream_id(1)), at(1, 2));
    EXPECT_EQ(world.trail->first(stream_id(1)), at(1, 1));
}

TEST(Trail, TakesOnlyTheNextRecordOfAStream) {
    TrailWorld world;
    world.open();
    EXPECT_EQ(code_of(world.append(1, at(1, 2), "x")), "trail.out_of_order");
    world.must(world.append(1, at(3, 1), "x"));
    world.must(world.append(1, at(3, 2), "x"));
    EXPECT_EQ(code_of(world.append(1, at(3, 2), "x")), "trail.out_of_order");
    EXPECT_EQ(code_of(world.append(1, at(3, 4), "x")), "trail.out_of_order");
    EXPECT_EQ(code_of(world.append(1, at(2, 1), "x")), "trail.out_of_order");
    EXPECT_EQ(code_of(world.append(1, at(9, 2), "x")), "trail.out_of_order");
    world.must(world.append(1, at(9, 1), "y"));
    world.reopen();
    EXPECT_EQ(world.read(1, at(3, 1)), (Lines{"3.2=x", "9.1=y"}));
    EXPECT_EQ(world.trail->recovery().damage, std::vector<Damage>{});
}

TEST(Trail, ShowsOnlyDurableRecords) {
    TrailWorld world;
    world.open();
    world.must(world.append(1, at(1, 1), "x"));
    EXPECT_EQ(world.read(1), Lines{});
    EXPECT_EQ(world.trail->durable_tail(stream_id(1)), std::nullopt);
    EXPECT_EQ(
        code_of(world.world.run(world.trail->find(stream_id(1), at(1, 1)))), "trail.out_of_order"
    );
    world.must(world.world.run(world.trail->wait_durable(stream_id(1), at(1, 1))));
    EXPECT_EQ(world.read(1), Lines{"1.1=x"});
    EXPECT_EQ(world.trail->durable_tail(stream_id(1)), at(1, 1));
    EXPECT_EQ(
        code_of(world.world.run(world.trail->wait_durable(stream_id(1), at(1, 2)))),
        "trail.out_of_order"
    );
}

Task<void> read_two(Trail& trail, StopSignal& stop, Lines& seen) {
    auto cursor = trail.read(stream_id(1), {});
    for (int i = 0; i < 2; ++i) {
        const auto record = co_await cursor.next(stop);
        seen.push_back(
            record ? std::string(as_text(record->payload())) : record.error().to_string()
        );
    }
}

TEST(Cursor, WaitsForWhatIsNotThereYet) {
    TrailWorld world;
    world.open();
    Lines seen;
    TaskScope scope(world.world);
    scope.spawn(read_two(*world.trail, scope.stop(), seen));
    world.world.run();
    EXPECT_EQ(seen, Lines{});
    world.must(world.append(1, at(1, 1), "one"));
    world.world.run();
    EXPECT_EQ(seen, Lines{});
    world.sync();
    world.world.run();
    EXPECT_EQ(seen, Lines{"one"});
    scope.request_stop();
    world.world.run(scope.join());
    EXPECT_EQ(seen, (Lines{"one", "common.cancelled"}));
}

TEST(Cursor, IsToldWhenTheTrailCloses) {
    TrailWorld world;
    world.open();
    Lines seen;
    TaskScope scope(world.world);
    scope.spawn(read_two(*world.trail, scope.stop(), seen));
    world.world.run();
    world.must(world.close());
    world.world.run(scope.join());
    EXPECT_EQ(seen, (Lines{"trail.closed", "trail.closed"}));
}

Task<void> append_and_wait(Trail& trail, uint8_t stream, uint64_t& acknowledged) {
    const auto appended = co_await trail.append(stream_id(stream), at(1, 1), as_bytes("x"));
    const auto durable = co_await trail.wait_durable(stream_id(stream), at(1, 1));
    acknowledged += appended && durable ? 1 : 0;
}

TEST(Trail, AHundredStreamsShareOneSync) {
    TrailWorld world;
    world.open();
    world.sync();
    const auto before = world.trail->status().syncs;
    uint64_t acknowledged = 0;
    TaskScope scope(world.world);
    for (uint8_t stream = 1; stream <= 100; ++stream) {
        scope.spawn(append_and_wait(*world.trail, stream, acknowledged));
    }
    world.world.run(scope.join());
    EXPECT_EQ(acknowledged, 100U);
    EXPECT_LE(world.trail->status().syncs - before, 2U);
}

TEST(Trail, ASegmentThatIsFullIsFollowedByANewOne) {
    TrailWorld world;
    world.open();
    world.fill(1, 1, 300);
    world.reopen();
    EXPECT_GT(world.trail->status().segments, 4U);
    EXPECT_EQ(world.count(1), 300U);
    EXPECT_EQ(
        world.read(1, at(1, 299)), Lines{"1.300=" + TrailWorld::payload(1, at(1, 300), 1000)}
    );
    const auto found = world.world.run(world.trail->find(stream_id(1), at(1, 17)));
    ASSERT_TRUE(found);
    EXPECT_EQ(as_text(found->payload()), TrailWorld::payload(1, at(1, 17), 1000));
}

TEST(Trail, ARecordMayBeLargerThanASegmentButNotThanTheLimit) {
    TrailWorld world;
    world.open();
    const std::string large(3U << 20U, 'L');
    world.must(world.append(1, at(1, 1), "small"));
    world.must(world.append(1, at(1, 2), large));
    world.must(world.append(1, at(1, 3), "small"));
    EXPECT_EQ(
        code_of(world.append(1, at(1, 4), std::string(kPayloadBytesMax + 1, 'x'))),
        "trail.too_large"
    );
    world.reopen();
    EXPECT_EQ(world.read(1), (Lines{"1.1=small", "1.2=" + large, "1.3=small"}));
}

TEST(Trail, IsOpenOnceAtATime) {
    TrailWorld world;
    world.open();
    auto second =
        world.world.run(Trail::open(world.storage, world.world, world.world, world.options));
    EXPECT_EQ(code_of(second), "common.storage_locked");
    world.must(world.close());
    world.open();
}

TEST(Trail, AfterClosingNothingIsTaken) {
    TrailWorld world;
    world.open();
    world.must(world.append(1, at(1, 1), "x"));
    world.must(world.world.run(world.trail->close()));
    EXPECT_EQ(code_of(world.append(1, at(1, 2), "x")), "trail.closed");
    EXPECT_EQ(code_of(world.world.run(world.trail->sync())), "trail.closed");
    EXPECT_EQ(world.trail->status().condition, Condition::Closed);
}

TEST(Trail, APointBehindTheEndOfItsEpochWasNeverThere) {
    TrailWorld world;
    world.open();
    for (const auto point : {at(1, 1), at(1, 2), at(2, 1)}) {
        world.must(world.append(1, point, "x"));
    }
    for (int round = 0; round < 2; ++round) {
        world.sync();
        EXPECT_EQ(
            code_of(world.world.run(world.trail->find(stream_id(1), at(1, 3)))),
            "trail.out_of_order"
        );
        EXPECT_EQ(code_of(world.world.run(world.trail->find(stream_id(1), at(2, 1)))), "ok");
        world.reopen();
    }
}

TEST(Trail, AStreamCanBeginInTheMiddleAndBeginAgain) {
    TrailWorld world;
    world.open();
    world.must(world.world.run(world.trail->restart(stream_id(1), at(4, 50))));
    EXPECT_EQ(code_of(world.append(1, at(1, 1), "x")), "trail.out_of_order");
    world.must(world.append(1, at(4, 51), "old"));
    world.must(world.append(1, at(4, 52), "old"));
    world.reopen();
    EXPECT_EQ(world.trail->held_after(stream_id(1)), at(4, 50));
    EXPECT_EQ(world.read(1, at(4, 49)), Lines{"trail.gone"});
    EXPECT_EQ(world.read(1, at(4, 50)), (Lines{"4.51=old", "4.52=old"}));
    world.must(world.world.run(world.trail->restart(stream_id(1), at(4, 51))));
    world.must(world.append(1, at(4, 52), "new"));
    for (int round = 0; round < 2; ++round) {
        world.sync();
        EXPECT_EQ(world.read(1, at(4, 51)), Lines{"4.52=new"});
        EXPECT_EQ(world.read(1, at(4, 50)), Lines{"trail.gone"});
        world.reopen();
        EXPECT_EQ(world.trail->recovery().damage, std::vector<Damage>{});
    }
}

/// Random work of many streams on real files against a map; the trail is closed and opened between.
TEST(Trail, AgreesWithAMapOverRandomWorkOnRealFiles) {
    for (uint64_t seed = 1; seed <= 8; ++seed) {
        SCOPED_TRACE(seed);
        testing::ManualWorld world(seed);
        testing::TempFolder folder;
        const auto storage = make_posix_storage(world);
        TrailOptions options;
        options.folder = folder / "trail";
        options.segment_bytes = 64U << 10U;
        options.tail_cache_bytes = seed % 2 == 0 ? 0 : 4U << 20U;
        std::mt19937_64 random(seed);
        std::map<StreamId, std::map<StreamPoint, std::string>> oracle;
        for (int round = 0; round < 4; ++round) {
            auto opened = world.run(Trail::open(*storage, world, world, options));
            ASSERT_TRUE(opened) << opened.error().to_string();
            auto trail = *std::move(opened);
            EXPECT_EQ(trail->recovery().damage, std::vector<Damage>{});
            for (int step = 0; step < 400; ++step) {
                const auto id = stream_id(static_cast<uint8_t>(random() % 12));
                auto& records = oracle[id];
                const auto tail = records.empty() ? StreamPoint{} : records.rbegin()->first;
                const bool new_epoch = tail == StreamPoint{} || random() % 50 == 0;
                const auto point = new_epoch ? StreamPoint{tail.epoch.next(), {1}}
                                             : StreamPoint{tail.epoch, tail.sequence.next()};
                std::string payload(random() % (random() % 20 == 0 ? 70'000 : 300), '\0');
                world.fill(std::as_writable_bytes(std::span(payload)));
                ASSERT_TRUE(world.run(trail->append(id, point, as_bytes(payload))));
                records[point] = payload;
                if (random() % 40 == 0) {
                    ASSERT_TRUE(world.run(trail->sync()));
                }
            }
            ASSERT_TRUE(world.run(trail->sync()));
            for (const auto& [id, records] : oracle) {
                auto cursor = trail->read(id, {});
                for (const auto& [point, payload] : records) {
                    const auto record = world.run(cursor.try_next());
                    ASSERT_TRUE(record && *record);
                    EXPECT_EQ((*record)->point(), point);
                    EXPECT_TRUE(as_text((*record)->payload()) == payload);
                }
                const auto end = world.run(cursor.try_next());
                EXPECT_TRUE(end && !*end);
            }
            ASSERT_TRUE(world.run(trail->close()));
        }
    }
}

}  // namespace
}  // namespace qiao::trail
