#include "qiao/trail/internal/scan.h"

#include <gtest/gtest.h>

#include <random>

namespace qiao::trail::internal {
namespace {

constexpr uint64_t kWhole = UINT64_MAX;

struct SegmentBuilder {
    Bytes bytes = encode({.number = 3});

    void add(RecordKind kind, uint64_t sequence, ByteView body) {
        RecordHead head;
        head.kind = static_cast<uint8_t>(kind);
        head.ref = kind == RecordKind::Seal ? 0 : 1;
        head.point = {{1}, {sequence}};
        append_record(bytes, 3, bytes.size(), head, body);
    }
};

SegmentBuilder three_records(std::string_view second = "two") {
    SegmentBuilder segment;
    segment.add(RecordKind::Define, 0, Bytes(16, std::byte{9}));
    segment.add(RecordKind::Data, 1, as_bytes("one"));
    segment.add(RecordKind::Data, 2, as_bytes(second));
    segment.add(RecordKind::Data, 3, as_bytes("three"));
    segment.add(RecordKind::Seal, 4, {});
    return segment;
}

TEST(TrailScan, FindsEveryRecordOfAWholeSegment) {
    const auto segment = three_records();
    const auto scan = scan_bytes(segment.bytes, 3, kWhole);
    ASSERT_TRUE(scan);
    EXPECT_TRUE(scan->sealed);
    EXPECT_FALSE(scan->torn());
    ASSERT_EQ(scan->runs.size(), 1U);
    EXPECT_EQ(scan->runs[0].entries.size(), 3U);
    EXPECT_EQ(scan->records, 5U);
}

TEST(TrailScan, ATornTailEndsItAtEveryPlace) {
    const auto segment = three_records();
    for (size_t size = kSegmentHeadBytes; size < segment.bytes.size(); ++size) {
        const auto scan = scan_bytes(ByteView(segment.bytes).first(size), 3, kSegmentHeadBytes);
        ASSERT_TRUE(scan);
        EXPECT_EQ(scan->damage, std::vector<Damage>{});
        EXPECT_LE(scan->end, size);
        EXPECT_LT(size - scan->end, 53U);
    }
}

/// A record inside a payload, byte for byte as its own place would have it, but elsewhere.
TEST(TrailScan, ARecordQuotedInADamagedPayloadIsNotTakenForOne) {
    SegmentBuilder quoted;
    quoted.add(RecordKind::Define, 0, Bytes(16, std::byte{9}));
    quoted.add(RecordKind::Data, 2, as_bytes("forged"));
    auto segment = three_records(as_text(quoted.bytes));
    segment.bytes[40 + 48 + 35 + 5] ^= std::byte{1};  // the length of the second record's head
    const auto scan = scan_bytes(segment.bytes, 3, kWhole);
    ASSERT_TRUE(scan);
    ASSERT_EQ(scan->damage.size(), 1U);
    EXPECT_EQ(scan->damage[0].offset, 40U + 48 + 35);
    ASSERT_EQ(scan->runs.size(), 1U);
    ASSERT_EQ(scan->runs[0].entries.size(), 2U);
    EXPECT_EQ(scan->runs[0].entries[1].point.sequence.value, 3U);
}

TEST(TrailScan, AnotherSegmentsFileIsNotTakenForThisOne) {
    const auto scan = scan_bytes(three_records().bytes, 4, kWhole);
    ASSERT_TRUE(scan);
    EXPECT_FALSE(scan->head);
    ASSERT_EQ(scan->damage.size(), 1U);
    EXPECT_EQ(scan->damage[0].kind, Damage::Kind::Head);
}

TEST(TrailScan, AnUnknownKindIsSkippedOrRefusedByItsNumber) {
    auto skipped = three_records();
    skipped.add(static_cast<RecordKind>(kFirstSkippableKind), 0, as_bytes("later"));
    EXPECT_TRUE(scan_bytes(skipped.bytes, 3, kWhole)->sealed);
    auto refused = three_records();
    refused.add(static_cast<RecordKind>(4), 0, as_bytes("later"));
    EXPECT_TRUE(scan_bytes(refused.bytes, 3, kWhole).error().is(ErrorCode::TrailNewerFormat));
}

}  // namespace
}  // namespace qiao::trail::internal
