#include "qiao/drivers/postgres/structure/read.h"

#include <map>

namespace qiao::drivers::postgres::structure {
namespace {

constexpr std::string_view kCharacters = R"(
SELECT pg_encoding_to_char(encoding), pg_encoding_max_length(encoding), encoding = 0
FROM pg_database WHERE datname = current_database()
)";

#define QIAO_CHOSEN \
    R"(
WITH RECURSIVE chosen AS (
    SELECT t.place, c.oid
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS t(schema, name, place)
    JOIN pg_namespace n ON n.nspname = t.schema
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.name
                   AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
))"

// `base`: what a chain of domains stands on, with its modifier; NOT NULL can come from any link.
constexpr std::string_view kColumns = QIAO_CHOSEN R"(, chain AS (
    SELECT h.place, a.attnum, a.atttypid AS type, a.atttypmod AS modifier,
           a.attnotnull AS not_null, 0 AS depth
    FROM chosen h JOIN pg_attribute a ON a.attrelid = h.oid
    WHERE a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
    SELECT c.place, c.attnum, t.typbasetype,
           CASE WHEN t.typtypmod >= 0 THEN t.typtypmod ELSE c.modifier END,
           c.not_null OR t.typnotnull, c.depth + 1
    FROM chain c JOIN pg_type t ON t.oid = c.type AND t.typtype = 'd'
), base AS (
    SELECT DISTINCT ON (place, attnum) * FROM chain ORDER BY place, attnum, depth DESC
)
SELECT h.place, a.attname, format_type(a.atttypid, a.atttypmod),
       format_type(b.type, b.modifier),
       CASE WHEN b.modifier < 0 THEN -1
            WHEN b.type IN ('varchar'::regtype, 'bpchar'::regtype) THEN b.modifier - 4
            WHEN b.type IN ('bit'::regtype, 'varbit'::regtype) THEN b.modifier ELSE -1 END,
       b.not_null, d.oid IS NOT NULL OR t.typdefault IS NOT NULL, a.attidentity <> '',
       CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END,
       (SELECT string_agg(e.enumlabel, E'\x1f' ORDER BY e.enumsortorder) FROM pg_enum e
        WHERE e.enumtypid = b.type)
FROM chosen h
LEFT JOIN pg_attribute a ON a.attrelid = h.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN base b ON b.place = h.place AND b.attnum = a.attnum
LEFT JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = h.oid AND d.adnum = a.attnum
ORDER BY h.place, a.attnum
)";

constexpr std::string_view kKeys = QIAO_CHOSEN R"(
SELECT h.place, x.indexrelid, x.indisprimary, a.attname
FROM chosen h JOIN pg_index x ON x.indrelid = h.oid
CROSS JOIN LATERAL unnest(x.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
JOIN pg_attribute a ON a.attrelid = h.oid AND a.attnum = k.attnum
WHERE x.indisunique AND x.indisvalid AND x.indpred IS NULL AND x.indexprs IS NULL
  AND k.place <= x.indnkeyatts
ORDER BY h.place, x.indisprimary DESC, x.indexrelid, k.place
)";

#undef QIAO_CHOSEN

std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> parts;
    while (!text.empty()) {
        const auto end = std::min(text.find(separator), text.size());
        parts.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return parts;
}

ColumnShape column_of(const Rows& rows, size_t row) {
    ColumnShape column;
    column.name = rows.text(row, 1);
    column.type = rows.text(row, 2);
    column.base = rows.text(row, 3);
    column.length = rows.text(row, 4) == "-1" ? -1 : static_cast<int32_t>(rows.number(row, 4));
    column.not_null = rows.flag(row, 5);
    column.has_default = rows.flag(row, 6);
    column.identity = rows.flag(row, 7);
    column.generated = rows.text(row, 8);
    column.labels = split(rows.text(row, 9), '\x1f');
    return column;
}

void add_keys(const Rows& rows, DatabaseShape& shape) {
    uint64_t index = 0;
    for (size_t row = 0; row < rows.size(); ++row) {
        auto& table = shape.tables[rows.number(row, 0) - 1];
        const auto column = std::string(rows.text(row, 3));
        if (rows.flag(row, 2)) {
            table->primary_key.push_back(column);
            continue;
        }
        if (rows.number(row, 1) != index) {
            index = rows.number(row, 1);
            table->unique_keys.emplace_back();
        }
        table->unique_keys.back().push_back(column);
    }
}

}  // namespace

Task<Result<DatabaseShape>> read_shape_here(
    Connection& connection, std::vector<model::TableName> tables
) {
    auto parameters = name_arrays(tables);
    DatabaseShape shape;
    QIAO_CO_TRY(const Rows characters, co_await connection.query(std::string(kCharacters)));
    shape.characters.name = characters.text(0, 0);
    shape.characters.bytes_max = static_cast<uint32_t>(characters.number(0, 1));
    shape.characters.counts_bytes = characters.flag(0, 2);

    QIAO_CO_TRY(const Rows columns, co_await connection.query(std::string(kColumns), parameters));
    shape.tables.resize(tables.size());
    for (size_t row = 0; row < columns.size(); ++row) {
        const auto place = columns.number(row, 0) - 1;
        auto& table = shape.tables[place];
        if (!table) {
            table.emplace();
            table->name = tables[place];
        }
        if (!columns.is_null(row, 1)) {  // a table may have no column
            table->columns.push_back(column_of(columns, row));
        }
    }
    QIAO_CO_TRY(
        const Rows keys, co_await connection.query(std::string(kKeys), std::move(parameters))
    );
    add_keys(keys, shape);
    co_return shape;
}

}  // namespace qiao::drivers::postgres::structure
