#include "qiao/model/table.h"

#include <fmt/format.h>
#include <xxhash.h>

namespace qiao::model {
namespace {

constexpr uint8_t kVersion = 1;
constexpr uint8_t kKey = 1;
constexpr uint8_t kNotNull = 2;
constexpr uint8_t kGenerated = 4;

void encode_column(ByteWriter& out, const Column& column) {
    const auto flags = static_cast<uint8_t>(
        (column.key ? kKey : 0) | (column.not_null ? kNotNull : 0) |
        (column.generated ? kGenerated : 0)
    );
    out.put_sized(column.name);
    out.put_sized(column.type);
    out.put(column.type_id);
    out.put(static_cast<uint32_t>(column.modifier));
    out.put_sized(column.collation);
    out.put(flags);
}

Column decode_column(ByteReader& in) {
    Column column;
    column.name = in.get_text();
    column.type = in.get_text();
    column.type_id = in.get<uint32_t>();
    column.modifier = static_cast<int32_t>(in.get<uint32_t>());
    column.collation = in.get_text();
    const auto flags = in.get<uint8_t>();
    column.key = (flags & kKey) != 0;
    column.not_null = (flags & kNotNull) != 0;
    column.generated = (flags & kGenerated) != 0;
    return column;
}

}  // namespace

std::string TableName::to_string() const {
    return schema.empty() ? name : fmt::format("{}.{}", schema, name);
}

Bytes TableSchema::encode() const {
    ByteWriter out;
    out.put(kVersion);
    out.put_sized(table.schema);
    out.put_sized(table.name);
    out.put(static_cast<uint8_t>(identity));
    out.put(static_cast<uint16_t>(columns.size()));
    for (const auto& column : columns) {
        encode_column(out, column);
    }
    return std::move(out).take();
}

Result<TableSchema> TableSchema::decode(ByteView bytes) {
    ByteReader in(bytes);
    TableSchema schema;
    const auto version = in.get<uint8_t>();
    schema.table.schema = in.get_text();
    schema.table.name = in.get_text();
    const auto identity = in.get<uint8_t>();
    const auto count = in.get<uint16_t>();
    for (uint16_t i = 0; i < count && in.ok(); ++i) {
        schema.columns.push_back(decode_column(in));
    }
    const bool known = version == kVersion && identity <= static_cast<uint8_t>(Identity::Full);
    if (!in.ok() || !in.at_end() || !known) {
        return Error(ErrorCode::PacketMalformed, "table schema");
    }
    schema.identity = static_cast<Identity>(identity);
    return schema;
}

SchemaId TableSchema::id() const {
    const auto bytes = encode();
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
    return SchemaId::from(std::as_bytes(std::span(canonical.digest)));
}

std::optional<size_t> TableSchema::find_column(std::string_view name) const {
    for (size_t i = 0; i < columns.size(); ++i) {
        if (columns[i].name == name) {
            return i;
        }
    }
    return std::nullopt;
}

std::vector<size_t> TableSchema::key_columns() const {
    std::vector<size_t> keys;
    for (size_t i = 0; i < columns.size(); ++i) {
        if (columns[i].key) {
            keys.push_back(i);
        }
    }
    return keys;
}

}  // namespace qiao::model
