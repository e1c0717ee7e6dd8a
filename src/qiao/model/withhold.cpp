#include "qiao/model/withhold.h"

namespace qiao::model {
namespace {

size_t size_of(const TableSchema& schema, size_t column, const Value& value) {
    const bool digits = value.kind == ValueKind::Text && column < schema.columns.size() &&
                        schema.columns[column].type == "pg_catalog.bytea";
    return digits ? value.bytes.size() / 2 : value.bytes.size();
}

}  // namespace

std::optional<Bytes> withhold(const TableSchema& schema, const Tuple& row, size_t most) {
    if (row.bytes().size() <= most) {
        return std::nullopt;
    }
    bool any = false;
    TupleBuilder builder(static_cast<uint16_t>(row.column_count()));
    row.for_each([&](size_t i, const Value& value) {
        const auto size = size_of(schema, i, value);
        if (size > most && value.kind != ValueKind::Withheld) {
            any = true;
            builder.withheld({size, most});
        } else {
            builder.add(value);
        }
    });
    return any ? std::optional(std::move(builder).take()) : std::nullopt;
}

}  // namespace qiao::model
