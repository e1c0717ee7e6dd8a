#include "qiao/common/async/sleep.h"
#include "qiao/engine/line_world_test.h"
#include "qiao/engine/transfer_log.h"

#include <iostream>
#include <set>

/// What is written beside the trail: each operation of its disk fails once in each way. The trail's
/// own are in trail/disk_faults_test.cpp, those of whole nodes in agent/disk_faults_test.cpp.
namespace qiao::engine {
namespace {

using qiao::testing::DiskFailure;
using qiao::testing::DiskOp;
using qiao::testing::FaultPoint;
using testing::Holder;
using testing::ManualWorld;
using testing::MemoryStorage;

constexpr std::initializer_list<DiskFailure> kEachWay{
    DiskFailure::Error, DiskFailure::Full, DiskFailure::Crash
};

void mend(MemoryStorage& disk) {
    if (disk.crashed()) {
        disk.restart();
    }
    disk.free_space();
}

bool of_the_disk(const Error& error) {
    return error.is(ErrorCode::StorageIo) || error.is(ErrorCode::StorageFull);
}

std::vector<Bytes> key_packets(size_t count) {
    ManualWorld world;
    Holder holder(world);
    std::vector<Bytes> wires;
    ChainTip tip{{Epoch{1}, Sequence{0}}, {}, {}};
    while (wires.size() < count) {
        auto packer = holder.packer(tip);
        wires.push_back(packer.take().front().wire);
        tip = packer.tip();
    }
    return wires;
}

// Source: rules 3
TEST(KeyStoreDisk, EachOperationMayFailAndEveryKeptKeyStays) {
    constexpr size_t kKeys = 20;
    const auto wires = key_packets(kKeys);
    const auto play = [&wires](const FaultPoint& point) -> std::optional<bool> {
        SCOPED_TRACE(point.to_string());
        ManualWorld world;
        MemoryStorage disk(world, point.n);
        disk.strike(point.op, point.n, point.failure);
        std::optional<KeyStore> store;
        std::set<Bytes> kept;
        // Until it is done; the fault is met at most once.
        const auto done = [&](const auto& attempt) {
            for (int tries = 0; tries < 4; ++tries) {
                if (!store) {
                    auto opened = world.run(KeyStore::open(disk, "keys"));
                    if (!opened) {
                        EXPECT_TRUE(of_the_disk(opened.error())) << opened.error().to_string();
                        mend(disk);
                        continue;
                    }
                    store.emplace(*std::move(opened));
                    const auto there = store->newest_first();
                    for (const auto& wire : kept) {
                        EXPECT_TRUE(std::ranges::find(there, wire) != there.end());
                    }
                }
                const Status outcome = attempt();
                if (outcome) {
                    return;
                }
                EXPECT_TRUE(of_the_disk(outcome.error())) << outcome.error().to_string();
                mend(disk);
                store.reset();
            }
            ADD_FAILURE() << "it does not go on";
        };
        for (const auto& wire : wires) {
            done([&] { return world.run(store->keep(wire)); });
            kept.insert(wire);
        }
        kept = {wires.end() - 16, wires.end()};  // what is always kept
        done([&] { return world.run(store->remove_unused({Epoch{1}, Sequence{1000}})); });
        EXPECT_EQ(store->size(), kept.size());
        store.reset();
        done([] { return Status{}; });
        return ::testing::Test::HasFailure() ? std::nullopt : std::optional(disk.struck());
    };
    const auto count = qiao::testing::sweep_faults(kEachWay, play);
    std::cout << count.to_string() << "\n";
    EXPECT_GT(count.of(DiskOp::Rename), 50U);
    EXPECT_GT(count.of(DiskOp::Remove), 5U);
    EXPECT_GT(count.of(DiskOp::Read), 20U);
}

HandOver numbered(uint64_t number) {
    HandOver it;
    it.flow = "f";
    it.point = {Epoch{1}, Sequence{number}};
    return it;
}

// Spec: R-75
TEST(TransferLogDisk, EachOperationMayFailAndNoRecordThatWasFlushedIsMissing) {
    const auto play = [](const FaultPoint& point) -> std::optional<bool> {
        SCOPED_TRACE(point.to_string());
        ManualWorld world;
        MemoryStorage disk(world, point.n);
        disk.strike(point.op, point.n, point.failure);
        TransferLogOptions options;
        options.folder = "log";
        options.node = "city";
        options.segment_bytes = 2000;
        options.segments_kept = 4;
        std::unique_ptr<TransferLog> log;
        uint64_t given = 0;
        uint64_t flushed = 0;
        StopSignal never;
        for (int start = 0; start < 3; ++start) {
            log = std::make_unique<TransferLog>(disk, world, world, options);
            (void)world.run(log->open());
            for (int i = 0; i < 8 || (flushed != given && i < 10); ++i) {
                for (int record = 0; record < 5 && i < 8; ++record) {
                    log->record(numbered(++given));
                }
                (void)world.run(sleep_for(world, world, std::chrono::seconds(2), never));
                const auto done = world.run(log->flush());
                if (done) {
                    flushed = given;
                    continue;
                }
                EXPECT_TRUE(of_the_disk(done.error())) << done.error().to_string();
                EXPECT_TRUE(log->status().last_error);
                if (disk.crashed()) {
                    given = flushed;  // what was in memory is gone, and is given anew
                    disk.restart();
                    log = std::make_unique<TransferLog>(disk, world, world, options);
                    (void)world.run(log->open());
                }
                disk.free_space();
            }
            EXPECT_EQ(flushed, given) << "it does not go on";
            EXPECT_EQ(log->status().lost, 0U);
        }
        std::set<uint64_t> found;
        const auto visit = [&found](const LoggedHandOver& logged) {
            found.insert(logged.hand_over.point.sequence.value);
        };
        const auto read = world.run(read_transfer_log(disk, "log", visit));
        mend(disk);
        const auto again = read ? read : world.run(read_transfer_log(disk, "log", visit));
        EXPECT_TRUE(again);
        EXPECT_FALSE(found.empty());
        if (!found.empty()) {
            // The oldest segments are removed; behind, none is missing.
            const auto first = *found.begin();
            EXPECT_EQ(
                static_cast<uint64_t>(std::distance(found.begin(), found.upper_bound(flushed))),
                flushed - first + 1
            );
            EXPECT_LT(first, 90U);
        }
        return ::testing::Test::HasFailure() ? std::nullopt : std::optional(disk.struck());
    };
    const auto count = qiao::testing::sweep_faults(kEachWay, play);
    std::cout << count.to_string() << "\n";
    EXPECT_GT(count.of(DiskOp::Sync), 50U);
    EXPECT_GT(count.of(DiskOp::Remove), 3U);
    EXPECT_GT(count.of(DiskOp::Truncate) + count.of(DiskOp::Open), 3U);
}

}  // namespace
}  // namespace qiao::engine
