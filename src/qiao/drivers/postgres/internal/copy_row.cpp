#include "qiao/drivers/postgres/internal/copy_row.h"

#include <algorithm>

namespace qiao::drivers::postgres::internal {
namespace {

constexpr size_t kSignatureBytes = 11;
constexpr size_t kHeadBytes = 19;

uint32_t big_endian(ByteView bytes) {
    uint32_t value = 0;
    for (const auto byte : bytes) {
        value = value << 8U | std::to_integer<uint32_t>(byte);
    }
    return value;
}

Error malformed() { return {ErrorCode::DbStatement, "COPY: not the binary form of a row"}; }

}  // namespace

Result<std::optional<model::Tuple>> CopyRowReader::read(ByteView message) {
    if (!head_seen_) {
        const auto signature = as_bytes(std::string_view("PGCOPY\n\377\r\n\0", kSignatureBytes));
        if (message.size() < kHeadBytes ||
            !std::ranges::equal(message.first(kSignatureBytes), signature)) {
            return malformed();
        }
        head_seen_ = true;
        message = message.subspan(kHeadBytes);
        if (message.empty()) {
            return std::optional<model::Tuple>();
        }
    }
    ByteReader in(message);
    const auto count = in.take(2);
    if (big_endian(count) == 0xFFFF) {
        return std::optional<model::Tuple>();
    }
    if (!in.ok() || big_endian(count) != columns_.size()) {
        return malformed();
    }
    tuple_.assign(count.begin(), count.end());
    for (const auto& column : columns_) {
        const auto length = in.take(4);
        if (big_endian(length) == UINT32_MAX) {
            tuple_.push_back(static_cast<std::byte>(model::ValueKind::Null));
            continue;
        }
        const auto kind = column.form == CanonicalColumn::Form::Text ? model::ValueKind::Text
                                                                     : model::ValueKind::Binary;
        const auto value = in.take(big_endian(length));
        tuple_.push_back(static_cast<std::byte>(kind));
        tuple_.insert(tuple_.end(), length.begin(), length.end());
        tuple_.insert(tuple_.end(), value.begin(), value.end());
    }
    if (!in.ok() || !in.at_end()) {
        return malformed();
    }
    QIAO_TRY(const auto tuple, model::Tuple::parse(tuple_));
    return std::optional(tuple);
}

}  // namespace qiao::drivers::postgres::internal
