#include "qiao/testing/golden.h"

#include "qiao/trail/trail_world_test.h"

#include <filesystem>
#include <fstream>

/// golden/version-1 was written by the first release and must stay readable for ever.
namespace qiao::trail {
namespace {

const std::string kGolden = testing::golden_folder("trail") + "/version-1";
constexpr auto kFiles = std::to_array<std::string_view>(
    {"segment-000000000001", "segment-000000000002", "mark", "consumers"}
);

Bytes read_golden(std::string_view name) {
    std::ifstream in(kGolden + "/" + std::string(name), std::ios::binary);
    EXPECT_TRUE(in) << name;
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    return to_bytes(as_bytes(text));
}

/// The history that the golden folder tells: two streams, an epoch change, a restart, two segments.
void write_history(TrailWorld& world) {
    world.open();
    world.must(world.append(1, at(1, 1), "hello"));
    world.must(world.append(2, at(5, 1), "second stream"));
    world.must(world.append(1, at(1, 2), ""));
    world.sync();
    world.must(world.append(1, at(2, 1), "a new epoch"));
    world.must(world.world.run(world.trail->restart(stream_id(2), at(5, 40))));
    world.must(world.append(2, at(5, 41), std::string(65'000, 'z')));
    world.must(world.append(1, at(2, 2), "in the second segment, with more than its room"));
    world.must(world.append(1, at(2, 3), std::string(200, 'q')));
    world.sync();
    world.must(world.world.run(world.trail->register_consumer(stream_id(1), "hub", at(1, 2))));
    world.must(world.world.run(world.trail->register_consumer(stream_id(2), "centre", at(5, 40))));
    world.must(world.close());
}

std::string golden_path(const TrailWorld& world, std::string_view name) {
    return world.options.folder + "/" + std::string(name);
}

TEST(TrailGolden, TheWriterStillWritesTheSameBytes) {
    TrailWorld world;
    write_history(world);
    for (const auto name : kFiles) {
        const auto written = world.storage.content(golden_path(world, name));
        ASSERT_TRUE(written) << name;
        if (const auto* target = std::getenv("QIAO_WRITE_GOLDEN")) {
            std::filesystem::create_directories(target);
            std::ofstream(std::string(target) + "/" + std::string(name), std::ios::binary)
                << as_text(*written);
            continue;
        }
        EXPECT_TRUE(*written == read_golden(name)) << name;
    }
}

TEST(TrailGolden, AFolderOfVersionOneIsReadable) {
    TrailWorld world;
    for (const auto name : kFiles) {
        world.storage.put(golden_path(world, name), read_golden(name));
    }
    world.open();
    EXPECT_EQ(world.trail->recovery().damage, std::vector<Damage>{});
    const auto first = world.read(1);
    ASSERT_EQ(first.size(), 5U);
    EXPECT_EQ(first[0], "1.1=hello");
    EXPECT_EQ(first[1], "1.2=");
    EXPECT_EQ(first[2], "2.1=a new epoch");
    EXPECT_EQ(first[3], "2.2=in the second segment, with more than its room");
    EXPECT_EQ(first[4], "2.3=" + std::string(200, 'q'));
    EXPECT_EQ(world.read(2, at(5, 40)), std::vector{"5.41=" + std::string(65'000, 'z')});
    EXPECT_EQ(world.trail->consumers(stream_id(1)), (std::vector{Consumer{"hub", at(1, 2)}}));
    EXPECT_EQ(world.trail->consumers(stream_id(2)), (std::vector{Consumer{"centre", at(5, 40)}}));
    world.must(world.append(2, at(5, 42), "goes on"));
}

}  // namespace
}  // namespace qiao::trail
