#include "qiao/trail/internal/format.h"

#include "qiao/common/crc32c.h"

#include <fmt/format.h>

#include <charconv>

namespace qiao::trail::internal {
namespace {

constexpr std::string_view kSegmentMagic = "QIAOSEGM";
constexpr std::string_view kMarkMagic = "QIAOMARK";
constexpr std::string_view kConsumersMagic = "QIAOCONS";
constexpr std::string_view kSegmentPrefix = "segment-";
constexpr size_t kMagicBytes = 8;
constexpr size_t kCrcBytes = 4;
constexpr size_t kReleaseBytesMax = 255;

/// The least version that has everything that is written.
void put_version(ByteWriter& out, std::string_view magic, uint16_t minor = 0) {
    out.append(as_bytes(magic));
    out.put(kFormatMajor);
    out.put(minor);
}

void put_crc(ByteWriter& out) { out.put(crc32c(out.view())); }

/// The last four bytes are the checksum of all before.
bool crc_holds(ByteView bytes) {
    if (bytes.size() < kCrcBytes) {
        return false;
    }
    ByteReader tail(bytes.last(kCrcBytes));
    return tail.get<uint32_t>() == crc32c(bytes.first(bytes.size() - kCrcBytes));
}

Status check_version(ByteReader& in, std::string_view what) {
    const auto major = in.get<uint16_t>();
    (void)in.get<uint16_t>();  // a newer minor only adds what we may skip
    if (!in.ok() || major == 0) {
        return Error(ErrorCode::TrailDamaged, fmt::format("{}: no format version", what));
    }
    if (major > kFormatMajor) {
        return Error(
            ErrorCode::TrailNewerFormat,
            fmt::format("{} has format {}, known is {}", what, major, kFormatMajor)
        );
    }
    return {};
}

uint32_t place_crc(uint64_t segment, uint64_t offset) {
    const uint64_t place[] = {segment, offset};
    return crc32c(std::as_bytes(std::span(place)));
}

std::optional<Mark> decode_slot(ByteView slot, bool& newer) {
    if (slot.size() != kMarkSlotBytes || !crc_holds(slot)) {
        return std::nullopt;
    }
    ByteReader in(slot);
    if (as_text(in.take(kMagicBytes)) != kMarkMagic) {
        return std::nullopt;
    }
    const auto version = check_version(in, kMarkFile);
    if (!version) {
        newer = newer || version.error().is(ErrorCode::TrailNewerFormat);
        return std::nullopt;
    }
    (void)in.get<uint32_t>();
    Mark mark;
    mark.generation = in.get<uint64_t>();
    mark.segment = in.get<uint64_t>();
    mark.offset = in.get<uint64_t>();
    return mark;
}

}  // namespace

std::string segment_name(uint64_t number) {
    return fmt::format("{}{:012}", kSegmentPrefix, number);
}

std::optional<uint64_t> segment_number(std::string_view name) {
    if (!name.starts_with(kSegmentPrefix)) {
        return std::nullopt;
    }
    const auto digits = name.substr(kSegmentPrefix.size());
    uint64_t number = 0;
    const auto [end, failure] =
        std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (failure != std::errc{} || segment_name(number) != name) {
        return std::nullopt;
    }
    return number;
}

Bytes encode(const SegmentHead& head) {
    ByteWriter out;
    const auto release = std::string_view(head.release).substr(0, kReleaseBytesMax);
    const bool newest = !release.empty();
    put_version(out, kSegmentMagic, newest ? kFormatMinor : uint16_t{0});
    out.put(static_cast<uint32_t>(kSegmentHeadBytes + (newest ? 1 + release.size() : 0)));
    out.put(head.number);
    out.put(static_cast<uint64_t>(head.created.us));
    out.put(uint32_t{0});  // required features
    if (newest) {
        out.put(static_cast<uint8_t>(release.size()));
        out.append(as_bytes(release));
    }
    put_crc(out);
    return std::move(out).take();
}

Result<SegmentHead> decode_segment_head(ByteView bytes) {
    const Error wrong(ErrorCode::TrailDamaged, "segment head");
    ByteReader in(bytes);
    if (as_text(in.take(kMagicBytes)) != kSegmentMagic) {
        return wrong;
    }
    ByteReader version(in.take(2 * sizeof(uint16_t)));
    SegmentHead head;
    head.head_bytes = in.get<uint32_t>();
    if (!in.ok() || head.head_bytes < kSegmentHeadBytes || head.head_bytes > kSegmentHeadBytesMax ||
        head.head_bytes > bytes.size() || !crc_holds(bytes.first(head.head_bytes))) {
        return wrong;
    }
    QIAO_CHECK(check_version(version, "segment"));
    head.number = in.get<uint64_t>();
    head.created.us = static_cast<int64_t>(in.get<uint64_t>());
    if (const auto features = in.get<uint32_t>(); features != 0) {
        return Error(
            ErrorCode::TrailNewerFormat,
            fmt::format("segment {} needs features {:#x}", head.number, features)
        );
    }
    if (head.head_bytes > kSegmentHeadBytes) {
        ByteReader added(
            bytes.first(head.head_bytes - kCrcBytes).subspan(kSegmentHeadBytes - kCrcBytes)
        );
        head.release = as_text(added.take(added.get<uint8_t>()));
    }
    return head;
}

void append_record(Bytes& out, uint64_t segment, uint64_t offset, RecordHead head, ByteView body) {
    ByteWriter fields;
    fields.put(uint32_t{0});
    fields.put(static_cast<uint32_t>(body.size()));
    fields.put(head.ref);
    fields.put(uint32_t{head.kind});
    fields.put(head.point.epoch.value);
    fields.put(head.point.sequence.value);
    const auto crc =
        crc32c(body, crc32c(fields.view().subspan(kCrcBytes), place_crc(segment, offset)));
    fields.patch(0, crc);
    out.insert(out.end(), fields.view().begin(), fields.view().end());
    out.insert(out.end(), body.begin(), body.end());
}

ParsedRecord parse_record(ByteView at_hand, uint64_t segment, uint64_t offset, uint64_t left) {
    ParsedRecord parsed;
    const auto need = [&](size_t bytes) {
        parsed.outcome =
            bytes <= left ? ParsedRecord::Outcome::Short : ParsedRecord::Outcome::Wrong;
        parsed.needed = bytes;
        return parsed;
    };
    if (at_hand.size() < kRecordHeadBytes || left < kRecordHeadBytes) {
        return need(kRecordHeadBytes);
    }
    ByteReader in(at_hand);
    const auto crc = in.get<uint32_t>();
    auto& head = parsed.head;
    head.length = in.get<uint32_t>();
    head.ref = in.get<uint32_t>();
    const auto kind = in.get<uint32_t>();
    head.point.epoch.value = in.get<uint64_t>();
    head.point.sequence.value = in.get<uint64_t>();
    if (kind == 0 || kind > 255 || head.length > kPayloadBytesMax) {
        return parsed;
    }
    head.kind = static_cast<uint8_t>(kind);
    if (at_hand.size() < head.total() || left < head.total()) {
        return need(head.total());
    }
    const auto covered = at_hand.first(head.total()).subspan(kCrcBytes);
    if (crc32c(covered, place_crc(segment, offset)) != crc) {
        return parsed;
    }
    parsed.outcome = ParsedRecord::Outcome::Whole;
    parsed.body = covered.subspan(kRecordHeadBytes - kCrcBytes);
    return parsed;
}

Bytes encode_slot(const Mark& mark) {
    ByteWriter out;
    put_version(out, kMarkMagic);
    out.put(uint32_t{0});
    out.put(mark.generation);
    out.put(mark.segment);
    out.put(mark.offset);
    put_crc(out);
    return std::move(out).take();
}

Bytes encode_mark_file(const Mark& mark) {
    const auto slot = encode_slot(mark);
    Bytes file(kMarkSlotStride + slot.size());
    std::ranges::copy(slot, file.begin());
    std::ranges::copy(slot, file.begin() + kMarkSlotStride);
    return file;
}

Result<Mark> decode_mark_file(ByteView bytes) {
    std::optional<Mark> best;
    bool newer = false;
    for (const size_t start : {size_t{0}, kMarkSlotStride}) {
        if (bytes.size() < start + kMarkSlotBytes) {
            continue;
        }
        const auto mark = decode_slot(bytes.subspan(start, kMarkSlotBytes), newer);
        if (mark && (!best || mark->generation > best->generation)) {
            best = mark;
        }
    }
    if (newer) {
        return Error(ErrorCode::TrailNewerFormat, "durable mark");
    }
    if (!best) {
        return Error(ErrorCode::TrailDamaged, "durable mark: neither slot is readable");
    }
    return *best;
}

Bytes encode(const ConsumerTable& table) {
    ByteWriter out;
    put_version(out, kConsumersMagic);
    out.put(static_cast<uint32_t>(table.size()));
    for (const auto& [stream, consumers] : table) {
        out.append(stream.view());
        out.put(static_cast<uint32_t>(consumers.size()));
        for (const auto& consumer : consumers) {
            out.put_sized(consumer.name);
            out.put(static_cast<uint8_t>(consumer.state));
            out.put(consumer.released.epoch.value);
            out.put(consumer.released.sequence.value);
        }
    }
    put_crc(out);
    return std::move(out).take();
}

Result<ConsumerTable> decode_consumers(ByteView bytes) {
    const Error wrong(ErrorCode::TrailDamaged, "consumers file");
    if (!crc_holds(bytes)) {
        return wrong;
    }
    ByteReader in(bytes.first(bytes.size() - kCrcBytes));
    if (as_text(in.take(kMagicBytes)) != kConsumersMagic) {
        return wrong;
    }
    QIAO_CHECK(check_version(in, kConsumersFile));
    ConsumerTable table;
    const auto streams = in.get<uint32_t>();
    for (uint32_t i = 0; i < streams && in.ok(); ++i) {
        auto& consumers = table[StreamId::from(in.take(StreamId::kSize))];
        const auto count = in.get<uint32_t>();
        for (uint32_t k = 0; k < count && in.ok(); ++k) {
            Consumer consumer;
            consumer.name = in.get_text();
            const auto state = in.get<uint8_t>();
            consumer.released.epoch.value = in.get<uint64_t>();
            consumer.released.sequence.value = in.get<uint64_t>();
            if (state != 1 && state != 2) {
                in.fail();
            }
            consumer.state = static_cast<ConsumerState>(state);
            consumers.push_back(std::move(consumer));
        }
    }
    if (!in.ok() || !in.at_end()) {
        return wrong;
    }
    return table;
}

}  // namespace qiao::trail::internal
