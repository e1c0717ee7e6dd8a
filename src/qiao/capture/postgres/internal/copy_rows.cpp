#include "qiao/capture/postgres/internal/copy_rows.h"

#include "qiao/capture/postgres/internal/big_endian.h"
#include "qiao/capture/postgres/internal/value_limit.h"

#include <algorithm>

namespace qiao::capture::postgres::internal {
namespace {

constexpr std::string_view kSignature("PGCOPY\n\377\r\n\0", 11);
constexpr std::string_view kTrailer("\377\377", 2);

/// The fields of a binary row; empty views for null.
std::vector<ByteView> binary_fields(ByteView row) {
    constexpr uint32_t kNull = 0xFFFFFFFF;
    ByteReader in(row);
    std::vector<ByteView> fields(big_endian<uint16_t>(in));
    for (auto& field : fields) {
        const auto length = big_endian<uint32_t>(in);
        field = length == kNull ? ByteView() : in.take(length);
    }
    return fields;
}

/// The fields of a text row, escapes as they stand.
std::vector<ByteView> text_fields(ByteView row) {
    std::vector<ByteView> fields;
    while (true) {
        const auto tab = std::ranges::find(row, std::byte{'\t'});
        const auto length = static_cast<size_t>(tab - row.begin());
        fields.push_back(row.first(length));
        if (tab == row.end()) {
            return fields;
        }
        row = row.subspan(length + 1);
    }
}

Error malformed() { return {ErrorCode::CaptureProtocol, "COPY data"}; }

}  // namespace

Result<ByteView> CopyRows::without_header(ByteView message) {
    ByteReader in(message);
    const auto signature = in.take(kSignature.size());
    big_endian<uint32_t>(in);  // flags: none that a query of ours sets
    in.take(big_endian<uint32_t>(in));
    if (!in.ok() || as_text(signature) != kSignature) {
        return malformed();
    }
    header_seen_ = true;
    return in.rest();
}

Result<std::optional<ByteView>> CopyRows::row(ByteView message) {
    if (format_ == drivers::LoadFormat::PgCopyBinary) {
        if (!header_seen_) {
            QIAO_TRY(message, without_header(message));
        }
        if (message.empty() || as_text(message) == kTrailer) {
            return std::optional<ByteView>();
        }
    } else if (message.empty() || message.back() != std::byte{'\n'}) {
        return malformed();
    }
    if (message.size() > value_bytes_max_) {
        QIAO_CHECK(check_size(message));
    }
    return std::optional(message);
}

Status CopyRows::check_size(ByteView row) const {
    const bool binary = format_ == drivers::LoadFormat::PgCopyBinary;
    const auto fields = binary ? binary_fields(row) : text_fields(row.first(row.size() - 1));
    std::vector<model::Value> values;
    for (const auto& field : fields) {
        values.push_back({binary ? model::ValueKind::Binary : model::ValueKind::Text, field});
    }
    return within_limit(schema_, values, value_bytes_max_);
}

}  // namespace qiao::capture::postgres::internal
