#include "qiao/agent/kept_different.h"

#include "qiao/testing/manual_world.h"
#include "qiao/testing/memory_storage.h"

#include <gtest/gtest.h>

#include <iostream>

namespace qiao::agent {
namespace {

using testing::DiskFailure;
using testing::DiskOp;
using testing::FaultPoint;
using testing::ManualWorld;
using testing::MemoryStorage;

verify::VerifyReport report(const char* table, verify::Verdict verdict) {
    verify::TableReport one;
    one.source = {"public", table};
    one.verdict = verdict;
    verify::VerifyReport report;
    report.tables = {one};
    return report;
}

struct Kept {
    explicit Kept(uint64_t seed) : disk(world, seed) { restart(); }

    void restart() {
        if (disk.crashed()) {
            disk.restart();
        }
        kept.emplace(KeptDifferent::Parts{disk, world, world, world, "state/reports"});
    }

    /// As a node does when it is opened, again and again until it is.
    void open() {
        for (int tries = 0; tries < 3; ++tries) {
            const auto opened = world.run(kept->open());
            if (opened) {
                return;
            }
            EXPECT_TRUE(opened.error().is(ErrorCode::StorageIo)) << opened.error().to_string();
            if (disk.crashed()) {
                restart();
            }
        }
        ADD_FAILURE() << "it is not opened any more";
    }

    void save() {
        StopSignal stop;
        const auto timer = world.make_timer();
        timer->start(world.now() + std::chrono::seconds(30), [this] { disk.free_space(); });
        const auto end = world.make_timer();
        end->start(world.now() + std::chrono::minutes(5), [&stop] { stop.request(); });
        world.run(kept->save(stop));
    }

    ManualWorld world;
    MemoryStorage disk;
    std::optional<KeptDifferent> kept;
};

// A flow with such a table is not green, whatever the disk did when it was found. Spec: R-36
TEST(KeptDifferent, IsNotForgottenWhateverOperationOfTheDiskFails) {
    const auto play = [](const FaultPoint& point) -> std::optional<bool> {
        SCOPED_TRACE(point.to_string());
        Kept it(point.n);
        it.disk.strike(point.op, point.n, point.failure);
        it.open();
        for (const auto* table : {"persons", "parcels"}) {
            it.kept->note("f", report(table, verify::Verdict::Different), false);
            it.save();
            if (it.disk.crashed()) {
                it.restart();
                it.open();  // what the crash took is found again by the next comparison
                it.kept->note("f", report(table, verify::Verdict::Different), false);
                it.save();
            }
        }
        it.restart();
        it.open();
        EXPECT_EQ(it.kept->tables("f").size(), 2U);
        it.kept->note("f", report("persons", verify::Verdict::Equal), false);
        it.save();
        const bool crashed = it.disk.crashed();
        it.restart();
        it.open();
        EXPECT_GE(it.kept->tables("f").size(), 1U);
        EXPECT_TRUE(crashed || it.kept->tables("f").size() == 1);
        return ::testing::Test::HasFailure() ? std::nullopt : std::optional(it.disk.struck());
    };
    const auto count =
        testing::sweep_faults({DiskFailure::Error, DiskFailure::Full, DiskFailure::Crash}, play);
    std::cout << count.to_string() << "\n";
    EXPECT_GT(count.of(DiskOp::Rename), 5U);
    EXPECT_GT(count.of(DiskOp::Sync), 5U);
    EXPECT_GT(count.of(DiskOp::Read), 1U);
}

TEST(KeptDifferent, ANodeThatIsOpenedAgainStillKnowsWhatWasNotWritten) {
    Kept it(1);
    it.open();
    it.disk.set_capacity(0);
    it.kept->note("f", report("persons", verify::Verdict::Different), false);
    StopSignal stop;
    stop.request();
    it.world.run(it.kept->save(stop));
    it.open();
    EXPECT_EQ(it.kept->tables("f").size(), 1U);
    it.save();
    it.restart();
    it.open();
    EXPECT_EQ(it.kept->tables("f").size(), 1U);
}

}  // namespace
}  // namespace qiao::agent
