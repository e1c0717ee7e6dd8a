#include "qiao/testing/manual_world.h"
#include "qiao/testing/memory_storage.h"

#include <gtest/gtest.h>

#include <iostream>

namespace qiao {
namespace {

using testing::DiskFailure;
using testing::DiskOp;

// All small files of a state folder are written and read so: names, selections, digests, reports.
TEST(DurableFile, IsTheOldOrTheNewOneWhateverOperationFails) {
    const auto play = [](const testing::FaultPoint& point) -> std::optional<bool> {
        SCOPED_TRACE(point.to_string());
        testing::ManualWorld world;
        testing::MemoryStorage disk(world, point.n);
        EXPECT_TRUE(world.run(disk.make_folder("state")));
        disk.strike(point.op, point.n, point.failure);
        size_t kept = 0;
        for (size_t version = 1; version <= 4;) {
            Bytes content(700 * version, static_cast<std::byte>(version));
            const auto done = world.run(write_file_atomically(disk, "state/names", content));
            EXPECT_TRUE(
                done || done.error().is(ErrorCode::StorageIo) ||
                done.error().is(ErrorCode::StorageFull)
            );
            if (disk.crashed()) {
                disk.restart();
            }
            disk.free_space();
            auto found = world.run(read_file(disk, "state/names"));
            if (!found && found.error().is(ErrorCode::StorageIo)) {
                if (disk.crashed()) {
                    disk.restart();
                }
                found = world.run(read_file(disk, "state/names"));
            }
            kept = done ? version : kept;
            const size_t is = found ? found->size() / 700 : 0;
            EXPECT_TRUE(is == kept || is == version) << is;
            EXPECT_TRUE(!found || *found == Bytes(700 * is, static_cast<std::byte>(is)));
            version += done ? 1 : 0;
            if (::testing::Test::HasFailure()) {
                return std::nullopt;
            }
        }
        return disk.struck();
    };
    const auto count =
        testing::sweep_faults({DiskFailure::Error, DiskFailure::Full, DiskFailure::Crash}, play);
    std::cout << count.to_string() << "\n";
    using enum DiskOp;
    for (const auto op : {Open, Create, Read, Write, Sync, SyncFolder, Rename}) {
        EXPECT_GT(count.of(op), 7U) << to_text(op);
    }
}

}  // namespace
}  // namespace qiao
