#include "qiao/common/crc32c.h"
#include "qiao/testing/golden.h"
#include "qiao/trail/internal/format.h"
#include "qiao/trail/trail_world_test.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>

/// One version up and down: a folder of 1.1 is read by the rules of 1.0, as they stand on the
/// format's page and are followed here once more; a folder goes back and forth between releases;
/// what is newer and must be known is refused, and stays as it is.
namespace qiao::trail {
namespace {

constexpr const char* kRelease = "0.2.0";
constexpr auto kFiles = std::to_array<std::string_view>({"segment-000000000001", "mark"});

std::string golden_path(std::string_view name) {
    return testing::golden_folder("trail") + "/version-1.1/" + std::string(name);
}

Bytes read_golden(std::string_view name) {
    std::ifstream in(golden_path(name), std::ios::binary);
    EXPECT_TRUE(in) << name;
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    return to_bytes(as_bytes(text));
}

void write_history(TrailWorld& world) {
    world.options.release = kRelease;
    world.open();
    world.must(world.append(1, at(1, 1), "hello"));
    world.must(world.append(1, at(1, 2), "by another release"));
    world.must(world.append(2, at(7, 1), ""));
    world.sync();
    world.must(world.close());
}

TEST(TrailVersion, TheWriterOfOneOneStillWritesTheSameBytes) {
    TrailWorld world;
    write_history(world);
    for (const auto name : kFiles) {
        const auto written = world.storage.content(world.options.folder + "/" + std::string(name));
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

TEST(TrailVersion, AFolderOfOneOneIsReadable) {
    TrailWorld world;
    for (const auto name : kFiles) {
        world.storage.put(world.options.folder + "/" + std::string(name), read_golden(name));
    }
    world.open();
    EXPECT_EQ(world.trail->recovery().damage, std::vector<Damage>{});
    EXPECT_EQ(world.read(1), (std::vector<std::string>{"1.1=hello", "1.2=by another release"}));
    const auto found = world.world.run(inspect(world.storage, world.options.folder));
    ASSERT_TRUE(found && !found->segments.empty());
    EXPECT_EQ(found->segments.front().release, kRelease);
}

/// Payloads of a segment, as a reader of 1.0 finds them. None: it refuses the segment.
std::optional<std::vector<std::string>> read_by_the_rules_of_one_zero(ByteView segment) {
    ByteReader in(segment);
    const bool ours = as_text(in.take(8)) == "QIAOSEGM" && in.get<uint16_t>() == 1;
    (void)in.get<uint16_t>();  // any minor version
    const auto head_bytes = in.get<uint32_t>();
    const auto number = in.get<uint64_t>();
    (void)in.get<uint64_t>();
    const auto required = in.get<uint32_t>();
    if (!ours || head_bytes < 40 || head_bytes > 4096 || head_bytes > segment.size() ||
        required != 0) {
        return std::nullopt;
    }
    ByteReader crc(segment.subspan(head_bytes - 4, 4));
    if (crc.get<uint32_t>() != crc32c(segment.first(head_bytes - 4))) {
        return std::nullopt;
    }
    std::vector<std::string> payloads;
    for (uint64_t offset = head_bytes; offset < segment.size();) {
        ByteReader record(segment.subspan(offset));
        const auto sum = record.get<uint32_t>();
        const auto length = record.get<uint32_t>();
        (void)record.get<uint32_t>();
        const auto kind = record.get<uint32_t>();
        (void)record.take(16);
        const auto body = record.take(length);
        const uint64_t place[] = {number, offset};
        const auto covered = segment.subspan(offset + 4, 28 + body.size());
        if (!record.ok() || crc32c(covered, crc32c(std::as_bytes(std::span(place)))) != sum) {
            return std::nullopt;
        }
        if (kind == 2) {
            payloads.emplace_back(as_text(body));
        }
        offset += 32 + length;
    }
    return payloads;
}

// A program that was rolled back finds such segments.
TEST(TrailVersion, AReaderOfOneZeroReadsWhatOneOneWrites) {
    const auto segment = read_golden(kFiles.front());
    const auto read = read_by_the_rules_of_one_zero(segment);
    ASSERT_TRUE(read);
    EXPECT_EQ(*read, (std::vector<std::string>{"hello", "by another release", ""}));
    for (size_t place = 0; place < segment.size(); ++place) {
        auto wrong = segment;
        wrong[place] ^= std::byte{0x10};
        EXPECT_FALSE(read_by_the_rules_of_one_zero(wrong)) << place;
    }
}

// Spec: R-31
TEST(TrailVersion, AFolderGoesBackAndForthBetweenReleases) {
    TrailWorld world;
    uint64_t written = 0;
    std::vector<std::string> expected;
    for (const char* release : {"", "0.2.0", "", "0.2.1", ""}) {
        world.options.release = release;  // without one it writes what 1.0 wrote
        world.open();
        EXPECT_EQ(world.read(1), expected);
        for (int i = 0; i < 30; ++i) {
            const auto point = at(1, ++written);
            const auto payload = TrailWorld::payload(1, point, 5000);
            world.must(world.append(1, point, payload));
            expected.push_back(text_of(point) + "=" + payload);
        }
        world.sync();
        if (written % 60 == 0) {
            world.power_cycle_now();
        } else {
            world.must(world.close());
        }
    }
    world.open();
    EXPECT_EQ(world.read(1), expected);
    const auto found = world.world.run(inspect(world.storage, world.options.folder));
    ASSERT_TRUE(found);
    std::set<std::string> releases;
    for (const auto& segment : found->segments) {
        releases.insert(segment.release);
    }
    EXPECT_EQ(releases, (std::set<std::string>{"", "0.2.0", "0.2.1"}));
    EXPECT_EQ(expected.size(), 150U);
}

/// Bytes at a place, and the checksum behind them made right.
void alter(Bytes& file, size_t at, uint8_t value, size_t from, size_t checked) {
    file.at(at) = std::byte{value};
    const auto crc = crc32c(ByteView(file).subspan(from, checked - from));
    std::memcpy(&file.at(checked), &crc, sizeof(crc));
}

// Spec: R-31
TEST(TrailVersion, WhatMustBeKnownAndIsNotIsRefusedAndStaysAsItIs) {
    using Alter = std::function<void(Bytes&)>;
    const size_t head = 40 + 1 + std::strlen(kRelease);
    const std::vector<std::pair<std::string_view, Alter>> newer{
        {kFiles[0], [&](Bytes& file) { alter(file, 8, 2, 0, head - 4); }},
        {kFiles[0], [&](Bytes& file) { alter(file, 32, 1, 0, head - 4); }},
        {kFiles[0], [&](Bytes& file) { alter(file, 35, 0x80, 0, head - 4); }},
        {kFiles[1], [](Bytes& file) { alter(file, 8, 2, 0, 40); }},
        {kFiles[1], [](Bytes& file) { alter(file, 4096 + 8, 2, 4096, 4096 + 40); }},
        {"consumers", [](Bytes& file) { alter(file, 8, 2, 0, file.size() - 4); }},
        {kFiles[0],
         [](Bytes& file) {
             internal::RecordHead later;
             later.kind = 100;
             internal::append_record(file, 1, file.size(), later, {});
         }},
    };
    for (size_t i = 0; i < newer.size(); ++i) {
        SCOPED_TRACE(i);
        TrailWorld world;
        write_history(world);
        world.open();
        world.must(world.world.run(world.trail->register_consumer(stream_id(1), "hub", at(1, 1))));
        world.must(world.close());
        const auto path = world.options.folder + "/" + std::string(newer[i].first);
        auto content = *world.storage.content(path);
        newer[i].second(content);
        world.storage.put(path, content);
        std::map<std::string, Bytes> before;
        for (const auto& name : world.storage.paths()) {
            before[name] = *world.storage.content(name);
        }
        EXPECT_EQ(code_of(world.try_open()), "trail.newer_format");
        EXPECT_EQ(
            code_of(world.world.run(inspect(world.storage, world.options.folder))),
            "trail.newer_format"
        );
        EXPECT_EQ(world.storage.paths().size(), before.size());
        for (const auto& [name, bytes] : before) {
            EXPECT_EQ(world.storage.content(name), bytes) << name;
        }
    }
}

}  // namespace
}  // namespace qiao::trail
