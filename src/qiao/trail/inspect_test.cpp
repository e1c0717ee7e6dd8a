#include "qiao/trail/inspect.h"

#include "qiao/trail/trail_world_test.h"

#include <algorithm>
#include <map>

namespace qiao::trail {
namespace {

Result<Inspection> look(TrailWorld& world) {
    return world.world.run(inspect(world.storage, world.options.folder));
}

TEST(TrailInspect, ShowsSegmentsStreamsAndConsumersAndChangesNothing) {
    TrailWorld world;
    world.open();
    world.fill(1, 1, 100);
    world.fill(2, 1, 3);
    world.sync();
    world.must(world.world.run(world.trail->register_consumer(stream_id(1), "hub", at(1, 40))));
    world.must(world.close());
    const auto changes = world.storage.changes();
    const auto found = look(world);
    ASSERT_TRUE(found) << found.error().to_string();
    EXPECT_EQ(world.storage.changes(), changes);
    ASSERT_EQ(found->streams.size(), 2U);
    EXPECT_EQ(found->streams[0].records, 100U);
    EXPECT_EQ(found->streams[0].last, at(1, 100));
    EXPECT_EQ(found->streams[0].consumers, (std::vector{Consumer{"hub", at(1, 40)}}));
    EXPECT_EQ(found->streams[1].first, at(1, 1));
    EXPECT_EQ(found->segments.size(), 2U);
    EXPECT_TRUE(found->segments[0].sealed);
    EXPECT_FALSE(found->segments[1].sealed);
    uint64_t payload = 0;
    for (const auto& segment : found->segments) {
        for (const auto& run : segment.streams) {
            payload += run.payload_bytes;
        }
    }
    EXPECT_EQ(payload, 103'000U);
    EXPECT_EQ(found->damage, std::vector<Damage>{});
    EXPECT_EQ(found->torn_bytes, 0U);
    ASSERT_TRUE(found->mark);
    EXPECT_EQ(found->mark->segment, 2U);
}

TEST(TrailInspect, TellsDamageFromATornTail) {
    TrailWorld world;
    world.open();
    world.fill(1, 1, 100);
    world.must(world.close());
    auto newest = *world.storage.content(world.segment_path(2));
    newest.resize(newest.size() + 100);
    world.storage.put(world.segment_path(2), newest);
    EXPECT_EQ(look(world)->torn_bytes, 100U);
    EXPECT_EQ(look(world)->damage, std::vector<Damage>{});
    world.storage.flip(world.segment_path(1), 5000);
    const auto damaged = look(world);
    ASSERT_EQ(damaged->damage.size(), 2U);
    EXPECT_EQ(damaged->damage[0].kind, Damage::Kind::Record);
    EXPECT_EQ(damaged->damage[0].to_string(), "segment 1 at 4216: 1032 bytes are wrong");
    EXPECT_EQ(damaged->damage[1].kind, Damage::Kind::Hole);
}

TEST(TrailInspect, VisitsEveryWholeRecordInOrderAndPassesOverDamage) {
    TrailWorld world;
    world.open();
    world.fill(1, 1, 60);
    world.fill(2, 1, 3);
    world.fill(1, 61, 100);
    world.must(world.close());
    std::map<StreamId, std::vector<StreamPoint>> seen;
    const auto visit = [&seen](StreamId stream, StreamPoint point, ByteView payload) {
        EXPECT_EQ(payload.size(), 1000U);
        seen[stream].push_back(point);
    };
    const auto& folder = world.options.folder;
    world.must(world.world.run(visit_records(world.storage, folder, visit)));
    EXPECT_EQ(seen[stream_id(1)].size(), 100U);
    EXPECT_EQ(seen[stream_id(1)].back(), at(1, 100));
    EXPECT_TRUE(std::ranges::is_sorted(seen[stream_id(1)]));
    EXPECT_EQ(seen[stream_id(2)].size(), 3U);

    seen.clear();
    world.storage.flip(world.segment_path(1), 5000);
    world.must(world.world.run(visit_records(world.storage, folder, visit)));
    EXPECT_EQ(seen[stream_id(1)].size(), 99U);
}

TEST(TrailInspect, AFolderThatIsNotThereIsAnError) {
    TrailWorld world;
    EXPECT_EQ(code_of(look(world)), "common.storage_missing");
}

}  // namespace
}  // namespace qiao::trail
