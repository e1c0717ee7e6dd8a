#include "qiao/capture/postgres/internal/value_limit.h"

#include "qiao/capture/postgres/internal/big_endian.h"

#include <fmt/format.h>

namespace qiao::capture::postgres::internal {
namespace {

size_t size_of(const model::Column& column, const model::Value& value) {
    const bool digits = value.kind == model::ValueKind::Text && column.type == "pg_catalog.bytea";
    return digits ? value.bytes.size() / 2 : value.bytes.size();
}

bool is_text(const std::string& type) {
    return type == "pg_catalog.text" || type == "pg_catalog.varchar" ||
           type == "pg_catalog.bpchar" || type == "pg_catalog.name";
}

/// A value of a key, for people.
std::string shown(const model::Column& column, const model::Value& value) {
    ByteReader in(value.bytes);
    if (value.kind == model::ValueKind::Text || is_text(column.type)) {
        return std::string(as_text(value.bytes));
    }
    if (column.type == "pg_catalog.int2" && value.bytes.size() == 2) {
        return std::to_string(static_cast<int16_t>(big_endian<uint16_t>(in)));
    }
    if (column.type == "pg_catalog.int4" && value.bytes.size() == 4) {
        return std::to_string(static_cast<int32_t>(big_endian<uint32_t>(in)));
    }
    if (column.type == "pg_catalog.int8" && value.bytes.size() == 8) {
        return std::to_string(static_cast<int64_t>(big_endian<uint64_t>(in)));
    }
    return "\\x" + to_hex(value.bytes);
}

std::string key_text(const model::TableSchema& schema, const std::vector<model::Value>& values) {
    std::string text;
    for (size_t i = 0; i < values.size() && i < schema.columns.size(); ++i) {
        // A key column that is itself huge is named, not shown.
        constexpr size_t kShownMax = 200;
        if (schema.columns[i].key && values[i].bytes.size() <= kShownMax) {
            text += fmt::format(
                "{}{}={}",
                text.empty() ? "" : ", ",
                schema.columns[i].name,
                shown(schema.columns[i], values[i])
            );
        }
    }
    return text.empty() ? "no key" : text;
}

}  // namespace

Status within_limit(
    const model::TableSchema& schema, const std::vector<model::Value>& values, size_t most
) {
    for (size_t i = 0; i < values.size() && i < schema.columns.size(); ++i) {
        const auto size = size_of(schema.columns[i], values[i]);
        if (size > most) {
            return Error(
                ErrorCode::PacketTooLarge,
                fmt::format(
                    "{}.{}: {} bytes, limit {}, at {}",
                    schema.table.to_string(),
                    schema.columns[i].name,
                    size,
                    most,
                    key_text(schema, values)
                )
            );
        }
    }
    return {};
}

}  // namespace qiao::capture::postgres::internal
