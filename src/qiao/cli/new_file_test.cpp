#include "qiao/cli/new_file.h"

#include "qiao/testing/manual_world.h"
#include "qiao/testing/memory_storage.h"

#include <gtest/gtest.h>

#include <iostream>

namespace qiao::cli {
namespace {

using testing::DiskFailure;
using testing::DiskOp;

TEST(NewFile, IsWholeOrNotThereAndTheNextTryMakesIt) {
    const auto content = to_bytes(as_bytes(std::string(3000, 'k')));
    const auto play = [&content](const testing::FaultPoint& point) -> std::optional<bool> {
        SCOPED_TRACE(point.to_string());
        testing::ManualWorld world;
        testing::MemoryStorage disk(world, point.n);
        EXPECT_TRUE(world.run(disk.make_folder("keys")));
        disk.strike(point.op, point.n, point.failure);
        auto done = world.run(write_new_file(disk, "keys/a.key", content));
        const bool failed = !done;
        disk.free_space();
        if (!done) {
            const auto there = disk.content("keys/a.key");
            EXPECT_TRUE(!there || *there == content);
            done = world.run(write_new_file(disk, "keys/a.key", content));
            EXPECT_TRUE(done || (there && done.error().is(ErrorCode::CliFileExists)));
        }
        EXPECT_EQ(disk.content("keys/a.key"), content);
        EXPECT_TRUE(failed || !disk.struck());
        return ::testing::Test::HasFailure() ? std::nullopt : std::optional(disk.struck());
    };
    const auto count = testing::sweep_faults({DiskFailure::Error, DiskFailure::Full}, play);
    std::cout << count.to_string() << "\n";
    for (const auto op : {DiskOp::Create, DiskOp::Write, DiskOp::Sync, DiskOp::SyncFolder}) {
        EXPECT_GT(count.of(op), 1U) << to_text(op);
    }
}

}  // namespace
}  // namespace qiao::cli
