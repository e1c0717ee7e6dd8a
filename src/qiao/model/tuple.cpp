#include "qiao/model/tuple.h"

#include "qiao/common/assert.h"

namespace qiao::model {
namespace {

template <class Number = uint32_t>
Number big_endian(ByteView bytes) {
    Number value = 0;
    for (const auto byte : bytes) {
        value = value << 8U | std::to_integer<Number>(byte);
    }
    return value;
}

void append_big_endian(Bytes& out, uint64_t value, size_t width) {
    while (width-- > 0) {
        out.push_back(static_cast<std::byte>(value >> (8U * width)));
    }
}

bool has_bytes(ValueKind kind) {
    return kind == ValueKind::Text || kind == ValueKind::Binary || kind == ValueKind::Withheld;
}

bool known(ValueKind kind) {
    return kind == ValueKind::Null || kind == ValueKind::Unchanged || has_bytes(kind);
}

constexpr size_t kLengthBytes = 4;
constexpr size_t kNumberBytes = 8;

}  // namespace

Result<Tuple> Tuple::parse_front(ByteReader& in) {
    const auto whole = in.rest();
    const auto count = big_endian(in.take(kHeadBytes));
    for (uint32_t i = 0; i < count && in.ok(); ++i) {
        const auto kind = static_cast<ValueKind>(in.get<uint8_t>());
        if (!known(kind)) {
            in.fail();
        } else if (has_bytes(kind)) {
            const auto value = in.take(big_endian(in.take(kLengthBytes)));
            if (kind == ValueKind::Withheld && value.size() != 2 * kNumberBytes) {
                in.fail();
            }
        }
    }
    if (!in.ok()) {
        return Error(ErrorCode::PacketMalformed, "tuple");
    }
    return Tuple(whole.first(whole.size() - in.rest().size()));
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
    return bytes_.empty() ? 0 : big_endian(bytes_.first(kHeadBytes));
}

std::vector<Value> Tuple::values() const {
    std::vector<Value> all;
    all.reserve(column_count());
    for_each([&all](size_t, const Value& value) { all.push_back(value); });
    return all;
}

Value Tuple::Cursor::next() {
    QIAO_ASSERT(left_ != 0);
    --left_;
    const auto kind = static_cast<ValueKind>(std::to_integer<uint8_t>(rest_.front()));
    rest_ = rest_.subspan(1);
    if (!has_bytes(kind)) {
        return {kind, {}};
    }
    const auto length = big_endian(rest_.first(kLengthBytes));
    const auto value = rest_.subspan(kLengthBytes, length);
    rest_ = rest_.subspan(kLengthBytes + length);
    return {kind, value};
}

WithheldValue WithheldValue::of(const Value& value) {
    QIAO_ASSERT(value.kind == ValueKind::Withheld);
    return {
        big_endian<uint64_t>(value.bytes.first(kNumberBytes)),
        big_endian<uint64_t>(value.bytes.subspan(kNumberBytes))
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
        append_big_endian(bytes_, static_cast<uint32_t>(value.size()), kLengthBytes);
        bytes_.insert(bytes_.end(), value.begin(), value.end());
    }
    return *this;
}

Bytes TupleBuilder::take() && {
    QIAO_ASSERT(Tuple::parse(bytes_).has_value());
    return std::move(bytes_);
}

}  // namespace qiao::model
