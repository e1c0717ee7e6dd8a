#include "qiao/drivers/load_rows.h"

#include "qiao/model/withhold.h"

#include <algorithm>

namespace qiao::drivers {
namespace {

Error malformed() { return {ErrorCode::PacketMalformed, "a row of a load"}; }

template <std::unsigned_integral Number>
Number big_endian(ByteReader& in) {
    Number value = 0;
    for (const auto byte : in.take(sizeof(Number))) {
        value = static_cast<Number>(value << 8U | std::to_integer<Number>(byte));
    }
    return value;
}

size_t columns_in_bulk(const model::TableSchema& schema) {
    const auto generated =
        std::ranges::count_if(schema.columns, [](const auto& column) { return column.generated; });
    return schema.columns.size() - static_cast<size_t>(generated);
}

/// Calls next(builder) for each column of the bulk.
template <class Next>
Result<Bytes> build(const model::TableSchema& schema, Next&& next) {
    model::TupleBuilder builder(static_cast<uint16_t>(schema.columns.size()));
    for (const auto& column : schema.columns) {
        if (column.generated) {
            builder.null();
        } else if (!next(builder)) {
            return malformed();
        }
    }
    return std::move(builder).take();
}

Result<Bytes> take_binary(const model::TableSchema& schema, ByteReader& in) {
    constexpr uint32_t kNull = 0xFFFFFFFF;
    if (big_endian<uint16_t>(in) != columns_in_bulk(schema)) {
        return malformed();
    }
    return build(schema, [&in](model::TupleBuilder& builder) {
        const auto length = big_endian<uint32_t>(in);
        if (length == kNull) {
            builder.null();
        } else {
            builder.binary(in.take(length));
        }
        return in.ok();
    });
}

/// What stands behind a backslash in COPY's text.
char meant_by(char escaped) {
    constexpr std::string_view kEscaped = "bfnrtv";
    constexpr std::string_view kMeant = "\b\f\n\r\t\v";
    const auto at = kEscaped.find(escaped);
    return at == std::string_view::npos ? escaped : kMeant[at];
}

std::string without_escapes(std::string_view text) {
    std::string plain;
    plain.reserve(text.size());
    for (size_t i = 0; i < text.size(); ++i) {
        const bool escaped = text[i] == '\\' && i + 1 < text.size();
        plain += escaped ? meant_by(text[++i]) : text[i];
    }
    return plain;
}

Result<Bytes> take_text(const model::TableSchema& schema, ByteReader& in) {
    const auto end = std::ranges::find(in.rest(), std::byte{'\n'});
    if (end == in.rest().end()) {
        return malformed();
    }
    const auto line = as_text(in.take(static_cast<size_t>(end - in.rest().begin())));
    in.take(1);
    size_t from = 0;
    auto row = build(schema, [&](model::TupleBuilder& builder) {
        if (from > line.size()) {
            return false;
        }
        const auto field = line.substr(from, line.find('\t', from) - from);
        from += field.size() + 1;
        if (field == "\\N") {
            builder.null();
        } else {
            builder.text(without_escapes(field));
        }
        return true;
    });
    // A row without columns is an empty line.
    const bool whole = from == line.size() + 1 || (line.empty() && columns_in_bulk(schema) == 0);
    return whole ? std::move(row) : Result<Bytes>(malformed());
}

}  // namespace

Result<Bytes> take_tuple(LoadFormat format, const model::TableSchema& schema, ByteReader& in) {
    switch (format) {
        case LoadFormat::PgCopyBinary:
            return take_binary(schema, in);
        case LoadFormat::PgCopyText:
            return take_text(schema, in);
        case LoadFormat::Tuples:
            break;
    }
    QIAO_TRY(const auto tuple, model::Tuple::parse_front(in));
    return to_bytes(tuple.bytes());
}

Result<std::optional<Bytes>> withhold_row(
    LoadFormat format, const model::TableSchema& schema, ByteView row, size_t most
) {
    if (row.size() <= most) {
        return std::optional<Bytes>();
    }
    ByteReader in(row);
    QIAO_TRY(const auto bytes, take_tuple(format, schema, in));
    if (!in.at_end()) {
        return malformed();
    }
    QIAO_TRY(const auto tuple, model::Tuple::parse(bytes));
    return model::withhold(schema, tuple, most);
}

}  // namespace qiao::drivers
