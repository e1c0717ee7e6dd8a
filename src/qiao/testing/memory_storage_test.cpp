#include "qiao/testing/memory_storage.h"

#include "qiao/testing/manual_world.h"

#include <gtest/gtest.h>

#include <set>

namespace qiao::testing {
namespace {

struct Disk {
    explicit Disk(uint64_t seed = 1) : storage(world, seed) {
        must(world.run(storage.make_folder("d")));
    }

    static void must(const Status& status) { ASSERT_TRUE(status) << status.error().to_string(); }

    std::unique_ptr<File> create(const std::string& path) {
        return *world.run(storage.open(path, OpenMode::Create));
    }

    void write(File& file, uint64_t offset, std::string_view text) {
        must(world.run(file.write_at(offset, as_bytes(text))));
    }

    std::optional<std::string> text(const std::string& path) {
        const auto content = storage.content(path);
        return content ? std::optional(std::string(as_text(*content))) : std::nullopt;
    }

    void power_cycle() {
        storage.crash();
        storage.restart();
    }

    ManualWorld world;
    MemoryStorage storage;
};

TEST(MemoryStorage, WhatIsSyncedWithItsFolderSurvivesEveryCrash) {
    for (uint64_t seed = 1; seed <= 50; ++seed) {
        Disk disk(seed);
        const auto file = disk.create("d/f");
        disk.write(*file, 0, "kept");
        Disk::must(disk.world.run(file->sync()));
        Disk::must(disk.world.run(disk.storage.sync_folder("d")));
        disk.write(*file, 4, "+more");
        disk.power_cycle();
        ASSERT_TRUE(disk.text("d/f"));
        EXPECT_EQ(disk.text("d/f")->substr(0, 4), "kept");
    }
}

TEST(MemoryStorage, AnUnsyncedWriteIsKeptLostOrTorn) {
    std::set<std::string> outcomes;
    for (uint64_t seed = 1; seed <= 200; ++seed) {
        Disk disk(seed);
        const auto file = disk.create("d/f");
        Disk::must(disk.world.run(disk.storage.sync_folder("d")));
        disk.write(*file, 0, std::string(600, 'x'));
        disk.power_cycle();
        const auto left = *disk.text("d/f");
        outcomes.insert(left.empty() ? "lost" : left == std::string(600, 'x') ? "kept" : "torn");
    }
    EXPECT_EQ(outcomes, (std::set<std::string>{"kept", "lost", "torn"}));
}

TEST(MemoryStorage, AFileWhoseFolderWasNotSyncedMayVanish) {
    std::set<bool> outcomes;
    for (uint64_t seed = 1; seed <= 100; ++seed) {
        Disk disk(seed);
        const auto file = disk.create("d/f");
        disk.write(*file, 0, "text");
        Disk::must(disk.world.run(file->sync()));
        disk.power_cycle();
        outcomes.insert(disk.text("d/f").has_value());
    }
    EXPECT_EQ(outcomes.size(), 2U);
}

TEST(MemoryStorage, AnAtomicallyReplacedFileIsOldOrNewAfterACrashAtEveryChange) {
    for (uint64_t at = 1;; ++at) {
        Disk disk(at);
        Disk::must(
            disk.world.run(write_file_atomically(disk.storage, "d/f", to_bytes(as_bytes("old"))))
        );
        disk.storage.crash_at_change(at);
        const auto done =
            disk.world.run(write_file_atomically(disk.storage, "d/f", to_bytes(as_bytes("new"))));
        if (done) {
            EXPECT_GT(at, 3U);
            break;
        }
        disk.storage.restart();
        EXPECT_TRUE(disk.text("d/f") == "old" || disk.text("d/f") == "new") << at;
    }
}

TEST(MemoryStorage, AFailedSyncMayLoseWhatTheCacheStillShows) {
    std::set<std::string> outcomes;
    for (uint64_t seed = 1; seed <= 100; ++seed) {
        Disk disk(seed);
        const auto file = disk.create("d/f");
        Disk::must(disk.world.run(disk.storage.sync_folder("d")));
        disk.write(*file, 0, "text");
        disk.storage.fail_change(1);
        EXPECT_FALSE(disk.world.run(file->sync()));
        EXPECT_TRUE(disk.storage.failed());
        EXPECT_EQ(disk.text("d/f"), "text");
        Disk::must(disk.world.run(file->sync()));  // says yes, and has written nothing
        disk.power_cycle();
        outcomes.insert(*disk.text("d/f"));
    }
    EXPECT_TRUE(outcomes.contains(""));
    EXPECT_TRUE(outcomes.contains("text"));
}

TEST(MemoryStorage, AFullDiskTakesWhatFits) {
    Disk disk;
    disk.storage.set_capacity(10);
    const auto file = disk.create("d/f");
    disk.write(*file, 0, "123456");
    const auto refused = disk.world.run(file->write_at(6, as_bytes("789abc")));
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error().is(ErrorCode::StorageFull));
    EXPECT_EQ(disk.text("d/f"), "123456789a");
}

TEST(MemoryStorage, FilesOpenedBeforeACrashStayDead) {
    Disk disk;
    const auto file = disk.create("d/f");
    disk.power_cycle();
    EXPECT_FALSE(disk.world.run(file->write_at(0, as_bytes("x"))));
    EXPECT_FALSE(disk.world.run(file->sync()));
    EXPECT_FALSE(file->size());
}

TEST(MemoryStorage, ALockIsHeldOnceAndGoneAfterACrash) {
    Disk disk;
    auto first = disk.world.run(disk.storage.lock("d/lock"));
    ASSERT_TRUE(first);
    EXPECT_TRUE(disk.world.run(disk.storage.lock("d/lock")).error().is(ErrorCode::StorageLocked));
    disk.power_cycle();
    EXPECT_TRUE(disk.world.run(disk.storage.lock("d/lock")));
}

}  // namespace
}  // namespace qiao::testing
