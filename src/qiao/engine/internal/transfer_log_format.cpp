#include "qiao/engine/internal/transfer_log_format.h"

#include "qiao/common/crc32c.h"

#include <fmt/format.h>

#include <charconv>

namespace qiao::engine::internal {
namespace {

constexpr std::string_view kMagic = "QIAOTLOG";
constexpr std::string_view kNamePrefix = "log-";
constexpr size_t kNameDigits = 12;
constexpr size_t kHeadBytesMax = 4096;
/// Magic, version, length, number, time, length of the node's name, checksum.
constexpr size_t kHeadBytesLeast = 8 + 4 + 4 + 8 + 8 + 4 + 4;

uint32_t place_crc(uint64_t segment, uint64_t offset, ByteView rest) {
    ByteWriter place;
    place.put(segment);
    place.put(offset);
    place.append(rest);
    return crc32c(place.view());
}

std::optional<LoggedHandOver> decode_body(ByteView body) {
    ByteReader in(body);
    LoggedHandOver logged;
    auto& it = logged.hand_over;
    it.kind = static_cast<HandOverKind>(in.get<uint8_t>());
    const auto outcome = in.get<uint16_t>();
    if (outcome != 0) {
        it.outcome = static_cast<ErrorCode>(outcome);
    }
    logged.at.us = static_cast<int64_t>(in.get<uint64_t>());
    it.stream = StreamId::from(in.take(StreamId::kSize));
    it.point.epoch.value = in.get<uint64_t>();
    it.point.sequence.value = in.get<uint64_t>();
    it.counts.inserts = in.get<uint32_t>();
    it.counts.updates = in.get<uint32_t>();
    it.counts.deletes = in.get<uint32_t>();
    it.counts.truncates = in.get<uint32_t>();
    it.counts.transactions = in.get<uint32_t>();
    it.bytes = in.get<uint64_t>();
    it.digest = Digest::from(in.take(Digest::kSize));
    it.first = model::SourcePosition::decode(in);
    it.last = model::SourcePosition::decode(in);
    it.flow = in.get_text();
    it.peer = in.get_text();
    return in.ok() ? std::optional(std::move(logged)) : std::nullopt;
}

}  // namespace

std::string log_name(uint64_t number) {
    return fmt::format("{}{:0{}}", kNamePrefix, number, kNameDigits);
}

uint64_t log_number(std::string_view name) {
    if (!name.starts_with(kNamePrefix) || name.size() != kNamePrefix.size() + kNameDigits) {
        return 0;
    }
    uint64_t number = 0;
    const auto* end = name.data() + name.size();
    const auto read = std::from_chars(name.data() + kNamePrefix.size(), end, number);
    return read.ptr == end ? number : 0;
}

Bytes encode_log_head(const LogHead& head) {
    ByteWriter out;
    out.append(as_bytes(kMagic));
    out.put(kLogMajor);
    out.put(kLogMinor);
    out.put(static_cast<uint32_t>(kHeadBytesLeast + head.node.size()));
    out.put(head.number);
    out.put(static_cast<uint64_t>(head.made.us));
    out.put_sized(head.node);
    out.put(crc32c(out.view()));
    return std::move(out).take();
}

Bytes encode_log_body(const HandOver& hand_over, WallTime at) {
    ByteWriter out;
    out.put(static_cast<uint8_t>(hand_over.kind));
    out.put(static_cast<uint16_t>(hand_over.outcome ? static_cast<uint16_t>(*hand_over.outcome) : 0)
    );
    out.put(static_cast<uint64_t>(at.us));
    out.append(hand_over.stream.view());
    out.put(hand_over.point.epoch.value);
    out.put(hand_over.point.sequence.value);
    out.put(hand_over.counts.inserts);
    out.put(hand_over.counts.updates);
    out.put(hand_over.counts.deletes);
    out.put(hand_over.counts.truncates);
    out.put(hand_over.counts.transactions);
    out.put(hand_over.bytes);
    out.append(hand_over.digest.view());
    hand_over.first.encode(out);
    hand_over.last.encode(out);
    out.put_sized(hand_over.flow);
    out.put_sized(hand_over.peer);
    return std::move(out).take();
}

Bytes frame_log_body(ByteView body, uint64_t segment, uint64_t offset) {
    ByteWriter rest;
    rest.put(static_cast<uint32_t>(body.size()));
    rest.append(body);
    ByteWriter out;
    out.put(place_crc(segment, offset, rest.view()));
    out.append(rest.view());
    return std::move(out).take();
}

Result<std::optional<LogReader>> LogReader::open(ByteView segment, uint64_t number) {
    ByteReader in(segment);
    const auto magic = in.take(kMagic.size());
    const auto major = in.get<uint16_t>();
    in.get<uint16_t>();  // a newer minor version may add to the head
    const auto bytes = in.get<uint32_t>();
    if (!in.ok() || as_text(magic) != kMagic || bytes < kHeadBytesLeast || bytes > kHeadBytesMax ||
        bytes > segment.size()) {
        return std::optional<LogReader>();
    }
    ByteReader check(segment.subspan(bytes - sizeof(uint32_t)));
    if (check.get<uint32_t>() != crc32c(segment.first(bytes - sizeof(uint32_t)))) {
        return std::optional<LogReader>();
    }
    if (major != kLogMajor) {
        return Error(
            ErrorCode::EngineTransferLog,
            fmt::format(
                "{} has format {}, this program reads {}", log_name(number), major, kLogMajor
            )
        );
    }
    LogHead head;
    head.number = in.get<uint64_t>();
    head.made.us = static_cast<int64_t>(in.get<uint64_t>());
    head.node = in.get_text();
    if (!in.ok() || head.number != number) {
        return std::optional<LogReader>();
    }
    return std::optional(LogReader(segment, std::move(head), bytes));
}

std::optional<ByteView> LogReader::body_at(uint64_t offset) const {
    if (offset >= segment_.size()) {
        return std::nullopt;
    }
    const auto record = segment_.subspan(offset);
    ByteReader in(record);
    const auto crc = in.get<uint32_t>();
    const auto size = in.get<uint32_t>();
    const auto body = in.take(size);
    if (!in.ok() || size > kLogBodyBytesMax) {
        return std::nullopt;
    }
    const auto covered = record.subspan(sizeof(crc), sizeof(size) + size);
    return crc == place_crc(head_.number, offset, covered) ? std::optional(body) : std::nullopt;
}

std::optional<LoggedHandOver> LogReader::next() {
    const auto body = body_at(offset_);
    if (!body) {
        return std::nullopt;
    }
    auto logged = decode_body(*body);
    if (logged) {
        logged->node = head_.node;
        offset_ += kLogFrameBytes + body->size();
    }
    return logged;
}

bool LogReader::skip() {
    auto offset = offset_;
    while (offset + kLogFrameBytes <= segment_.size()) {
        ByteReader in(segment_.subspan(offset + sizeof(uint32_t)));
        offset += kLogFrameBytes + in.get<uint32_t>();
        if (body_at(offset)) {
            offset_ = offset;
            return true;
        }
    }
    return false;
}

}  // namespace qiao::engine::internal
