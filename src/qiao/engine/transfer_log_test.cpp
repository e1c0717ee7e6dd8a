#include "qiao/engine/transfer_log.h"

#include "qiao/common/async/scope.h"
#include "qiao/common/async/sleep.h"
#include "qiao/testing/manual_world.h"
#include "qiao/testing/memory_storage.h"

#include <gtest/gtest.h>

#include <random>

namespace qiao::engine {
namespace {

using testing::ManualWorld;
using testing::MemoryStorage;

constexpr const char* kSegment = "log/log-000000000001";

HandOver some_hand_over(uint64_t number) {
    HandOver it;
    it.kind = static_cast<HandOverKind>(1 + number % 6);
    it.flow = "persons";
    it.peer = number % 3 == 0 ? "" : "province";
    it.stream.bytes.fill(std::byte{1});
    it.point = {Epoch{1}, Sequence{number}};
    it.last = model::SourcePosition::lsn(7, 1, number * 100);
    it.counts.inserts = static_cast<uint32_t>(number);
    it.bytes = number * 1000;
    it.digest.bytes.fill(static_cast<std::byte>(number));
    if (number % 5 == 0) {
        it.outcome = ErrorCode::EngineForked;
    }
    return it;
}

/// A log with the records that were given to it.
class Log {
public:
    explicit Log(uint64_t seed = 1) : world(seed), storage(world, seed) {
        options.folder = "log";
        options.node = "city";
    }

    Status open() {
        log = std::make_unique<TransferLog>(storage, world, world, options);
        return world.run(log->open());
    }

    void record(uint64_t count) {
        for (uint64_t i = 0; i < count; ++i) {
            given.push_back(some_hand_over(given.size() + 1));
            log->record(given.back());
        }
    }

    Status flush() { return world.run(log->flush()); }

    TransferLogSummary read() {
        found.clear();
        const auto visit = [this](const LoggedHandOver& logged) {
            EXPECT_EQ(logged.node, "city");
            found.push_back(logged.hand_over);
        };
        const auto summary = world.run(read_transfer_log(storage, "log", visit));
        EXPECT_TRUE(summary) << summary.error().to_string();
        return summary.value_or(TransferLogSummary{});
    }

    ManualWorld world;
    MemoryStorage storage;
    TransferLogOptions options;
    std::unique_ptr<TransferLog> log;
    std::vector<HandOver> given, found;
};

// Spec: R-75
TEST(TransferLog, GivesBackEveryRecordOverSegmentsAndRestarts) {
    Log log;
    log.options.segment_bytes = 4000;
    for (int start = 0; start < 4; ++start) {
        ASSERT_TRUE(log.open());
        log.record(20);
        ASSERT_TRUE(log.flush());
        log.record(7);
        ASSERT_TRUE(log.flush());
    }
    const auto summary = log.read();
    EXPECT_EQ(log.found, log.given);
    EXPECT_EQ(summary.records, 4U * 27);
    EXPECT_GT(summary.segments, 4U);
    EXPECT_EQ(summary.torn_bytes, 0U);
    EXPECT_TRUE(summary.damage.empty());
}

// Golden: docs/reference/formats/transfer_log.md has the same bytes.
TEST(TransferLog, ItsBytesAreThoseOfTheFormatPage) {
    Log log;
    ASSERT_TRUE(log.open());
    HandOver it;
    it.kind = HandOverKind::Held;
    it.flow = "f";
    it.peer = "b";
    it.stream.bytes.fill(std::byte{1});
    it.point = {Epoch{1}, Sequence{2}};
    it.last = model::SourcePosition::lsn(7, 1, 0x16B3748);
    it.counts = {.inserts = 3, .updates = 0, .deletes = 0, .truncates = 0, .transactions = 1};
    it.bytes = 1000;
    it.digest.bytes.fill(std::byte{2});
    log.log->record(it);
    ASSERT_TRUE(log.flush());
    const auto content = log.storage.content(kSegment);
    ASSERT_TRUE(content);
    EXPECT_EQ(
        to_hex(*content),
        "5149414f544c4f47010000002c000000010000000000000000a493d6000000000400000063697479"
        "61620848932103dd8f00000003000000a493d6000000000101010101010101010101010101010101"
        "0000000000000002000000000000000300000000000000000000000000000001000000e803000000"
        "00000002020202020202020202020202020202020202020202020202020202020202020000000000"
        "010c00000000000000000700000001080000000000016b374801000000660100000062"
    );
}

TEST(TransferLog, IsWrittenOnceASecondAndAtTheStop) {
    Log log;
    ASSERT_TRUE(log.open());
    TaskScope scope(log.world);
    scope.spawn(log.log->run(scope.stop()));
    StopSignal never;
    log.record(3);
    EXPECT_EQ(log.read().records, 0U);
    (void)log.world.run(sleep_for(log.world, log.world, std::chrono::milliseconds(1500), never));
    EXPECT_EQ(log.read().records, 3U);
    log.record(2);
    scope.request_stop();
    log.world.run(scope.join());
    EXPECT_EQ(log.read().records, 5U);
}

TEST(TransferLog, ACrashTakesNothingThatWasFlushedAndLeavesNoHole) {
    for (uint64_t seed = 1; seed <= 200; ++seed) {
        Log log(seed);
        log.options.segment_bytes = 3000;
        std::mt19937_64 random(seed);
        size_t flushed = 0;
        for (int start = 0; start < 4; ++start) {
            ASSERT_TRUE(log.open());
            log.storage.crash_at_change(1 + random() % 30);
            while (!log.storage.crashed()) {
                log.record(1 + random() % 8);
                if (log.flush()) {
                    flushed = log.given.size();
                }
            }
            log.log.reset();
            log.storage.restart();
            // What was not flushed may be there or not: the oracle goes on from what is.
            const auto summary = log.read();
            ASSERT_TRUE(summary.damage.empty()) << seed << " " << summary.damage.front();
            ASSERT_GE(log.found.size(), flushed) << seed;
            log.given.resize(log.found.size());
            ASSERT_EQ(log.found, log.given) << seed;
        }
    }
}

TEST(TransferLog, AFailedWriteIsMadeUpForInANewSegment) {
    for (uint64_t n = 1; n <= 8; ++n) {
        Log log(n);
        ASSERT_TRUE(log.open());
        log.record(5);
        ASSERT_TRUE(log.flush());
        log.record(5);
        log.storage.fail_change(n);
        const auto first = log.flush();
        EXPECT_EQ(log.log->status().last_error.has_value(), !first.has_value());
        ASSERT_TRUE(first || log.flush()) << n;
        log.read();
        // A record may be there twice, and none is missing.
        std::vector<HandOver> distinct;
        for (const auto& it : log.found) {
            if (std::ranges::find(distinct, it) == distinct.end()) {
                distinct.push_back(it);
            }
        }
        EXPECT_EQ(distinct, log.given) << n;
        EXPECT_EQ(log.log->status().buffered_bytes, 0U);
    }
}

// Spec: R-75
TEST(TransferLog, ADiskThatIsFullForHoursCostsNoEvidence) {
    for (const uint64_t room : {0U, 20U, 60U, 300U}) {
        Log log;
        log.options.segment_bytes = 4096;
        log.options.segments_kept = 4;
        ASSERT_TRUE(log.open());
        log.record(30);
        ASSERT_TRUE(log.flush());
        log.storage.set_capacity(log.storage.used_bytes() + room);
        bool was_full = false;
        for (int i = 0; i < 200; ++i) {
            log.record(i % 20 == 0 ? 1 : 0);
            was_full = !log.flush() || was_full;
        }
        EXPECT_TRUE(was_full);
        EXPECT_TRUE(log.log->status().last_error->is(ErrorCode::StorageFull));
        log.storage.set_capacity(UINT64_MAX);
        log.record(1);
        ASSERT_TRUE(log.flush());
        const auto summary = log.read();
        EXPECT_GE(summary.segments, 2U);
        ASSERT_FALSE(log.found.empty());
        EXPECT_EQ(log.found.front().point, log.given.front().point) << room;
        EXPECT_EQ(log.found.back().point, log.given.back().point);
        EXPECT_GE(log.found.size(), log.given.size());
    }
}

// Spec: R-75
TEST(TransferLog, WhatCouldNotBeOpenedIsOpenedLaterAndNothingIsLost) {
    using qiao::testing::DiskFailure;
    using qiao::testing::DiskOp;
    for (const auto op : {DiskOp::MakeFolder, DiskOp::List, DiskOp::Open, DiskOp::Read}) {
        Log log;
        ASSERT_TRUE(log.open());
        log.record(5);
        ASSERT_TRUE(log.flush());
        log.log.reset();
        log.storage.strike(op, 1, DiskFailure::Error);
        EXPECT_FALSE(log.open());
        EXPECT_TRUE(log.storage.struck());
        ASSERT_TRUE(log.log->status().last_error);
        log.record(3);
        EXPECT_FALSE(log.flush()) << "so soon it is not tried again";
        StopSignal never;
        (void)log.world.run(sleep_for(log.world, log.world, std::chrono::seconds(2), never));
        ASSERT_TRUE(log.flush()) << to_text(op);
        EXPECT_FALSE(log.log->status().last_error);
        EXPECT_EQ(log.log->status().lost, 0U);
        log.read();
        EXPECT_EQ(log.found, log.given);
    }
}

TEST(TransferLog, AFullBufferCountsWhatItLoses) {
    Log log;
    log.options.buffer_bytes = 1000;
    ASSERT_TRUE(log.open());
    log.record(100);
    const auto status = log.log->status();
    EXPECT_EQ(status.records + status.lost, 100U);
    EXPECT_GT(status.lost, 80U);
    EXPECT_LE(status.buffered_bytes, 1000U);
    ASSERT_TRUE(log.flush());
    EXPECT_EQ(log.read().records, status.records);
}

TEST(TransferLog, DamageInTheMiddleIsNamedAndWhatLiesBehindItIsKept) {
    Log log;
    ASSERT_TRUE(log.open());
    log.record(10);
    ASSERT_TRUE(log.flush());
    const auto size = log.storage.content(kSegment)->size();
    log.storage.flip(kSegment, size / 2);
    auto summary = log.read();
    EXPECT_EQ(summary.records, 9U);
    EXPECT_EQ(summary.damage.size(), 1U);

    log.log.reset();
    ASSERT_TRUE(log.open());
    log.record(1);
    ASSERT_TRUE(log.flush());
    summary = log.read();
    EXPECT_EQ(summary.records, 10U);
    EXPECT_EQ(summary.segments, 2U);
    EXPECT_EQ(log.storage.content(kSegment)->size(), size);
}

TEST(TransferLog, ReadsForeignBytesWithoutHarm) {
    Log log;
    ASSERT_TRUE(log.open());
    log.record(6);
    ASSERT_TRUE(log.flush());
    const auto whole = *log.storage.content(kSegment);
    std::mt19937_64 random(7);
    for (int i = 0; i < 3000; ++i) {
        auto bytes = whole;
        bytes.resize(random() % (bytes.size() + 1));
        for (size_t flips = 1 + random() % 4; flips > 0 && !bytes.empty(); --flips) {
            bytes[random() % bytes.size()] = static_cast<std::byte>(random());
        }
        log.storage.put(kSegment, bytes);
        const auto visit = [](const LoggedHandOver& logged) {
            EXPECT_FALSE(to_text(logged.hand_over.kind).empty());
        };
        const auto summary = log.world.run(read_transfer_log(log.storage, "log", visit));
        if (!summary) {
            EXPECT_TRUE(summary.error().is(ErrorCode::EngineTransferLog));
        }
    }
}

// Spec: R-75
TEST(TransferLog, KeepsTheNewestSegmentsWithinItsBound) {
    Log log;
    log.options.segment_bytes = 4096;
    log.options.segments_kept = 3;
    ASSERT_TRUE(log.open());
    for (int i = 0; i < 50; ++i) {
        log.record(10);
        ASSERT_TRUE(log.flush());
    }
    const auto summary = log.read();
    EXPECT_EQ(summary.segments, 3U);
    EXPECT_TRUE(summary.damage.empty());
    ASSERT_FALSE(log.found.empty());
    ASSERT_LT(log.found.size(), log.given.size());
    EXPECT_TRUE(std::equal(log.found.rbegin(), log.found.rend(), log.given.rbegin()));
    EXPECT_EQ(log.log->status().lost, 0U);
}

}  // namespace
}  // namespace qiao::engine
