#include "qiao/model/tuple.h"

#include "qiao/common/assert.h"

#include <optional>

namespace qiao::model {
namespace {

void append_big_endian(Bytes& out, uint64_t value, size_t width) {
    while (width-- > 0) {
        out.push_back(static_cast<std::byte>(value >> (8U * width)));
    }
}

constexpr size_t kNumberBytes = 8;

/// The bytes behind the head that `count` columns take; none when they are not whole.
std::optional<size_t> measure(ByteView rest, size_t count, size_t length_bytes) {
    const auto* at = rest.data();
    const auto* const end = at + rest.size();
    for (; count != 0; --count) {
        if (at == end) {
            return std::nullopt;
        }
        const auto kind = static_cast<ValueKind>(std::to_integer<uint8_t>(*at++));
        if (kind == ValueKind::Null || kind == ValueKind::Unchanged) {
            continue;
        }
        if (!has_bytes(kind) || static_cast<size_t>(end - at) < length_bytes) {
            return std::nullopt;
        }
        const auto length = load_big_endian<uint32_t>(at);
        at += length_bytes;
        const bool fits = length <= static_cast<size_t>(end - at);
        if (!fits || (kind == ValueKind::Withheld && length != 2 * kNumberBytes)) {
            return std::nullopt;
        }
        at += length;
    }
    return static_cast<size_t>(at - rest.data());
}

}  // namespace

Result<Tuple> Tuple::parse_front(ByteReader& in) {
    const auto whole = in.rest();
    const auto head = in.take(kHeadBytes);
    if (in.ok()) {
        const auto columns = load_big_endian<uint16_t>(head.data());
        if (const auto size = measure(in.rest(), columns, kLengthBytes)) {
            in.take(*size);
            return Tuple(whole.first(kHeadBytes + *size));
        }
        in.fail();
    }
    return Error(ErrorCode::PacketMalformed, "tuple");
}

Result<Tuple> Tuple::parse(ByteView bytes) {
    ByteReader in(bytes);
    QIAO_TRY(const auto tuple, parse_front(in));
    if (!in.at_end()) {
        return Error(ErrorCode::PacketMalformed, "bytes after a tuple");
    }
    return tuple;
}

size_t Tuple::column_count() const {
    return bytes_.empty() ? 0 : load_big_endian<uint16_t>(bytes_.data());
}

std::vector<Value> Tuple::values() const {
    std::vector<Value> all;
    all.reserve(column_count());
    for_each([&all](size_t, const Value& value) { all.push_back(value); });
    return all;
}

WithheldValue WithheldValue::of(const Value& value) {
    QIAO_ASSERT(value.kind == ValueKind::Withheld);
    return {
        load_big_endian<uint64_t>(value.bytes.data()),
        load_big_endian<uint64_t>(value.bytes.data() + kNumberBytes)
    };
}

TupleBuilder::TupleBuilder(uint16_t columns) { append_big_endian(bytes_, columns, 2); }

TupleBuilder& TupleBuilder::null() { return add(ValueKind::Null, {}); }

TupleBuilder& TupleBuilder::unchanged() { return add(ValueKind::Unchanged, {}); }

TupleBuilder& TupleBuilder::withheld(const WithheldValue& value) {
    Bytes told;
    append_big_endian(told, value.bytes, kNumberBytes);
    append_big_endian(told, value.most, kNumberBytes);
    return add(ValueKind::Withheld, told);
}

TupleBuilder& TupleBuilder::add(const Value& value) { return add(value.kind, value.bytes); }

TupleBuilder& TupleBuilder::add(ValueKind kind, ByteView value) {
    bytes_.push_back(static_cast<std::byte>(kind));
    if (has_bytes(kind)) {
        append_big_endian(bytes_, static_cast<uint32_t>(value.size()), sizeof(uint32_t));
        bytes_.insert(bytes_.end(), value.begin(), value.end());
    }
    return *this;
}

Bytes TupleBuilder::take() && {
    QIAO_ASSERT(Tuple::parse(bytes_).has_value());
    return std::move(bytes_);
}

}  // namespace qiao::model
