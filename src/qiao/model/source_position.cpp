#include "qiao/model/source_position.h"

#include "qiao/common/assert.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::model {
namespace {

void append_big_endian(Bytes& out, uint64_t value, size_t width) {
    while (width-- > 0) {
        out.push_back(static_cast<std::byte>(value >> (8U * width)));
    }
}

constexpr size_t kLsnSize = sizeof(uint64_t);

void put_short(ByteWriter& out, ByteView bytes) {
    out.put(static_cast<uint16_t>(bytes.size()));
    out.append(bytes);
}

}  // namespace

void SourcePosition::encode(ByteWriter& out) const {
    out.put(static_cast<uint8_t>(kind));
    put_short(out, history);
    out.put(static_cast<uint16_t>(order.size() + anchor.size()));
    out.append(order);
    out.append(anchor);
}

Bytes SourcePosition::encode() const {
    ByteWriter out;
    encode(out);
    return std::move(out).take();
}

SourcePosition SourcePosition::decode(ByteReader& in) {
    SourcePosition position;
    const auto kind = in.get<uint8_t>();
    if (kind > static_cast<uint8_t>(PositionKind::Watermark)) {
        in.fail();
        return position;
    }
    position.kind = static_cast<PositionKind>(kind);
    position.history = to_bytes(in.take(in.get<uint16_t>()));
    const auto order = in.take(in.get<uint16_t>());
    const auto ordered =
        position.kind == PositionKind::Lsn ? std::min(kLsnSize, order.size()) : order.size();
    position.order = to_bytes(order.first(ordered));
    position.anchor = to_bytes(order.subspan(ordered));
    return position;
}

Result<SourcePosition> SourcePosition::decode(ByteView bytes) {
    ByteReader in(bytes);
    auto position = decode(in);
    if (!in.ok() || !in.at_end()) {
        return Error(ErrorCode::PacketMalformed, "source position");
    }
    return position;
}

std::string SourcePosition::to_string() const {
    if (kind == PositionKind::Lsn && order.size() == kLsnSize) {
        uint64_t value = 0;
        for (const auto byte : order) {
            value = value << 8U | std::to_integer<uint64_t>(byte);
        }
        return fmt::format("{:X}/{:X}", value >> 32U, value & 0xFFFFFFFFU);
    }
    return kind == PositionKind::None ? "none" : std::string(as_text(order));
}

SourcePosition SourcePosition::lsn(uint64_t system_id, uint32_t timeline, uint64_t lsn) {
    SourcePosition position{PositionKind::Lsn, {}, {}};
    append_big_endian(position.history, system_id, sizeof(system_id));
    append_big_endian(position.history, timeline, sizeof(timeline));
    append_big_endian(position.order, lsn, sizeof(lsn));
    return position;
}

SourcePosition SourcePosition::predecessor() const {
    QIAO_ASSERT(kind == PositionKind::Lsn);
    auto before = *this;
    before.anchor.clear();
    for (auto byte = before.order.rbegin(); byte != before.order.rend(); ++byte) {
        const bool borrows = *byte == std::byte{0};
        *byte = std::byte(std::to_integer<unsigned>(*byte) - 1U);
        if (!borrows) {
            break;
        }
    }
    return before;
}

std::partial_ordering compare(const SourcePosition& a, const SourcePosition& b) {
    if (a.empty() || b.empty()) {
        return !a.empty() <=> !b.empty();
    }
    if (!a.same_history(b)) {
        return std::partial_ordering::unordered;
    }
    return std::lexicographical_compare_three_way(
        a.order.begin(), a.order.end(), b.order.begin(), b.order.end()
    );
}

}  // namespace qiao::model
