#include "qiao/trail/internal/format.h"

#include "qiao/common/crc32c.h"

#include <gtest/gtest.h>

#include <random>

namespace qiao::trail::internal {
namespace {

using Outcome = ParsedRecord::Outcome;

RecordHead data_head() {
    RecordHead head;
    head.kind = static_cast<uint8_t>(RecordKind::Data);
    head.ref = 1;
    head.point = {{1}, {1}};
    return head;
}

Bytes record_at(uint64_t segment, uint64_t offset, std::string_view body) {
    Bytes bytes;
    append_record(bytes, segment, offset, data_head(), as_bytes(body));
    return bytes;
}

TEST(TrailFormat, TheWorkedExampleOfItsPageIsTrue) {
    EXPECT_EQ(
        to_hex(encode({.number = 1, .created = {1'700'000'000'000'000}})),
        "5149414f5345474d01000000280000000100000000000000"
        "00401e18240a0600000000008b27b494"
    );
    EXPECT_EQ(
        to_hex(record_at(1, 88, "hello")),
        "403f0ab705000000010000000200000001000000000000000100000000000000"
        "68656c6c6f"
    );
    EXPECT_EQ(
        to_hex(encode_slot({2, 1, 125})),
        "5149414f4d41524b010000000000000002000000000000000100000000000000"
        "7d000000000000006523d0c8"
    );
}

TEST(TrailFormat, ARecordIsReadBackOnlyAtItsOwnPlace) {
    const auto bytes = record_at(7, 1000, "payload");
    const auto parsed = parse_record(bytes, 7, 1000, bytes.size());
    ASSERT_EQ(parsed.outcome, Outcome::Whole);
    EXPECT_EQ(as_text(parsed.body), "payload");
    EXPECT_EQ(parsed.head.point, (StreamPoint{{1}, {1}}));
    EXPECT_EQ(parse_record(bytes, 8, 1000, bytes.size()).outcome, Outcome::Wrong);
    EXPECT_EQ(parse_record(bytes, 7, 1001, bytes.size()).outcome, Outcome::Wrong);
}

TEST(TrailFormat, ARecordThatIsCutIsShortWhileMoreMayComeAndWrongAtTheEndOfTheFile) {
    const auto bytes = record_at(7, 1000, "payload");
    for (size_t size = 0; size < bytes.size(); ++size) {
        const auto part = ByteView(bytes).first(size);
        EXPECT_EQ(parse_record(part, 7, 1000, bytes.size()).outcome, Outcome::Short);
        EXPECT_EQ(parse_record(part, 7, 1000, size).outcome, Outcome::Wrong);
    }
}

TEST(TrailFormat, TheNewerReadableMarkSlotCounts) {
    auto file = encode_mark_file({4, 1, 100});
    const Mark newer{5, 2, 300};
    const auto slot = encode_slot(newer);
    EXPECT_EQ(slot_offset(newer), 4096U);
    std::ranges::copy(slot, file.begin() + 4096);
    EXPECT_EQ(*decode_mark_file(file), newer);
    file[4096 + 30] ^= std::byte{1};
    EXPECT_EQ(*decode_mark_file(file), (Mark{4, 1, 100}));
    file[30] ^= std::byte{1};
    EXPECT_TRUE(decode_mark_file(file).error().is(ErrorCode::TrailDamaged));
    EXPECT_TRUE(decode_mark_file({}).error().is(ErrorCode::TrailDamaged));
}

TEST(TrailFormat, ConsumersComeBackAsTheyWereAndNoDamageIsTaken) {
    ConsumerTable table;
    table[StreamId::from(Bytes(16, std::byte{1}))] = {
        {"hub", {{1}, {9}}, ConsumerState::Active}, {"省厅", {{2}, {3}}, ConsumerState::CutOff}
    };
    table[StreamId::from(Bytes(16, std::byte{2}))] = {};
    const auto bytes = encode(table);
    EXPECT_EQ(*decode_consumers(bytes), table);
    for (size_t place = 0; place < bytes.size(); ++place) {
        auto wrong = bytes;
        wrong[place] ^= std::byte{0x10};
        EXPECT_FALSE(decode_consumers(wrong)) << place;
        EXPECT_FALSE(decode_consumers(ByteView(bytes).first(place))) << place;
    }
}

TEST(TrailFormat, ANewerMajorVersionIsNamedAndANewerMinorOneIsRead) {
    auto head = encode({.number = 1});
    const auto seal = [&head] {
        const auto crc = crc32c(ByteView(head).first(head.size() - 4));
        std::memcpy(head.data() + head.size() - 4, &crc, 4);
    };
    head[10] = std::byte{3};
    seal();
    EXPECT_TRUE(decode_segment_head(head));
    head[8] = std::byte{2};
    EXPECT_TRUE(decode_segment_head(head).error().is(ErrorCode::TrailDamaged));
    seal();
    EXPECT_TRUE(decode_segment_head(head).error().is(ErrorCode::TrailNewerFormat));
    head[8] = std::byte{1};
    head[32] = std::byte{1};  // a feature that must be known
    seal();
    EXPECT_TRUE(decode_segment_head(head).error().is(ErrorCode::TrailNewerFormat));
}

TEST(TrailFormat, OnlySegmentsHaveSegmentNames) {
    EXPECT_EQ(segment_name(17), "segment-000000000017");
    EXPECT_EQ(segment_number("segment-000000000017"), 17U);
    EXPECT_EQ(segment_number("segment-17"), std::nullopt);
    EXPECT_EQ(segment_number("segment-000000000017.new"), std::nullopt);
    EXPECT_EQ(segment_number("mark"), std::nullopt);
}

}  // namespace
}  // namespace qiao::trail::internal
