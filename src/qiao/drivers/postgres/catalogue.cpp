#include "qiao/drivers/postgres/catalogue.h"

#include "qiao/drivers/postgres/types.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace qiao::drivers::postgres {
namespace {

/// One result with three kinds of lines, so that all is of one snapshot: T a relation, C a column,
/// K a column of a unique index. `{}` is the condition on pg_class c and pg_namespace n.
constexpr const char* kQuery = R"(
WITH RECURSIVE wanted AS (
  SELECT c.*, n.nspname, EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
        AND d.deptype = 'e') AS of_extension
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND ({})
), att AS (
  SELECT a.* FROM pg_attribute a JOIN wanted w ON w.oid = a.attrelid
   WHERE a.attnum > 0 AND NOT a.attisdropped
), chain(type_id, base_id) AS (
  SELECT t.oid, t.oid FROM pg_type t WHERE t.oid IN (SELECT atttypid FROM att)
  UNION ALL
  SELECT chain.type_id, t.typbasetype FROM chain JOIN pg_type t ON t.oid = chain.base_id
   WHERE t.typtype = 'd'
), base AS (
  SELECT chain.type_id, t.* FROM chain JOIN pg_type t ON t.oid = chain.base_id
   WHERE t.typtype <> 'd'
)
SELECT w.nspname::text, w.relname::text, w.oid, 'T', 0, 0, ARRAY[
         w.relkind::text, w.relreplident::text, w.relpersistence::text,
         rn.nspname::text, rc.relname::text,
         greatest(w.reltuples, 0)::bigint::text,
         (w.relpages::bigint * current_setting('block_size')::int)::text,
         w.of_extension::text]
  FROM wanted w
  LEFT JOIN pg_class rc ON w.relispartition AND rc.oid = pg_partition_root(w.oid)
  LEFT JOIN pg_namespace rn ON rn.oid = rc.relnamespace
UNION ALL
SELECT w.nspname::text, w.relname::text, w.oid, 'C', a.attnum, 0, ARRAY[
         a.attname::text, tn.nspname || '.' || t.typname, t.oid::text, a.atttypmod::text,
         CASE WHEN a.attcollation <> t.typcollation THEN ln.nspname || '.' || l.collname END,
         a.attnotnull::text, (a.attgenerated <> '')::text, (a.attidentity = 'a')::text,
         b.oid::text, bn.nspname || '.' || b.typname, b.typarray::text,
         (b.typcategory = 'A')::text,
         (p.proname IN ('textsend', 'varcharsend', 'bpcharsend', 'namesend', 'json_send',
                        'enum_send', 'citextsend'))::text,
         (b.typtype = 'c')::text]
  FROM att a JOIN wanted w ON w.oid = a.attrelid
  JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace tn ON tn.oid = t.typnamespace
  JOIN base b ON b.type_id = t.oid JOIN pg_namespace bn ON bn.oid = b.typnamespace
  LEFT JOIN pg_proc p ON p.oid = b.typsend
  LEFT JOIN pg_collation l ON l.oid = a.attcollation
  LEFT JOIN pg_namespace ln ON ln.oid = l.collnamespace
UNION ALL
SELECT w.nspname::text, w.relname::text, w.oid, 'K', i.indexrelid::bigint, k.n, ARRAY[
         ic.relname::text, i.indisprimary::text, i.indisreplident::text, i.indimmediate::text,
         a.attname::text, a.attnotnull::text, o.oprname::text, opn.nspname::text]
  FROM wanted w JOIN pg_index i ON i.indrelid = w.oid JOIN pg_class ic ON ic.oid = i.indexrelid
  CROSS JOIN LATERAL generate_series(1, i.indnkeyatts) k(n)
  JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum = i.indkey[k.n - 1]
  JOIN pg_opclass c ON c.oid = i.indclass[k.n - 1]
  LEFT JOIN pg_amop m ON m.amopfamily = c.opcfamily AND m.amoplefttype = c.opcintype
    AND m.amoprighttype = c.opcintype AND m.amopstrategy = 3
  LEFT JOIN pg_operator o ON o.oid = m.amopopr
  LEFT JOIN pg_namespace opn ON opn.oid = o.oprnamespace
 WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
ORDER BY 1, 2, 3, 4 DESC, 5, 6)";

/// A text[] in its text form; elements can be null.
class ArrayFields {
public:
    explicit ArrayFields(std::string_view text) {
        size_t at = 1;
        while (at < text.size() && text[at] != '}') {
            read_element(text, at);
            at += text[at] == ',' ? 1 : 0;
        }
    }

    const std::string& text(size_t i) const {
        static const std::string kEmpty;
        return i < fields_.size() && fields_[i] ? *fields_[i] : kEmpty;
    }

    bool is_null(size_t i) const { return i >= fields_.size() || !fields_[i]; }

    bool flag(size_t i) const { return text(i) == "true"; }

    uint64_t number(size_t i) const { return std::strtoull(text(i).c_str(), nullptr, 10); }

    uint32_t oid(size_t i) const { return static_cast<uint32_t>(number(i)); }

    int32_t integer(size_t i) const {
        return static_cast<int32_t>(std::strtol(text(i).c_str(), nullptr, 10));
    }

private:
    void read_element(std::string_view text, size_t& at) {
        std::string element;
        const bool quoted = text[at] == '"';
        at += quoted ? 1 : 0;
        while (at < text.size()) {
            const char c = text[at];
            if (quoted ? c == '"' : (c == ',' || c == '}')) {
                break;
            }
            at += c == '\\' ? 1 : 0;
            element += text[at++];
        }
        at += quoted ? 1 : 0;
        if (!quoted && element == "NULL") {
            fields_.emplace_back();
        } else {
            fields_.emplace_back(std::move(element));
        }
    }

    std::vector<std::optional<std::string>> fields_;
};

RelationKind relation_kind(const std::string& letter) {
    switch (letter.empty() ? 'r' : letter.front()) {
        case 'p':
            return RelationKind::Partitioned;
        case 'v':
            return RelationKind::View;
        case 'm':
            return RelationKind::MaterializedView;
        case 'f':
            return RelationKind::Foreign;
        default:
            return RelationKind::Table;
    }
}

void take_relation(CatalogueTable& table, const ArrayFields& fields) {
    table.kind = relation_kind(fields.text(0));
    table.replica_identity = fields.text(1).empty() ? 'd' : fields.text(1).front();
    table.logged = fields.text(2) == "p";
    if (!fields.is_null(4)) {
        table.partition_root = model::TableName{fields.text(3), fields.text(4)};
    }
    table.rows_estimated = fields.number(5);
    table.bytes_estimated = fields.number(6);
    table.extension_member = fields.flag(7);
}

void take_column(CatalogueTable& table, const ArrayFields& fields) {
    model::Column column;
    column.name = fields.text(0);
    column.type = fields.text(1);
    column.type_id = fields.oid(2);
    column.modifier = fields.integer(3);
    column.collation = fields.text(4);
    column.not_null = fields.flag(5);
    column.generated = fields.flag(6);
    ColumnFacts facts;
    facts.type_oid = column.type_id;
    facts.identity_always = fields.flag(7);
    facts.base_oid = fields.oid(8);
    facts.base_type = fields.text(9);
    facts.base_array_oid = fields.oid(10);
    facts.array = fields.flag(11);
    facts.text_is_binary = fields.flag(12);
    facts.composite = fields.flag(13);
    facts.binary_safe = binary_safe_type(facts.base_type);
    table.schema.columns.push_back(std::move(column));
    table.columns.push_back(std::move(facts));
}

void take_key_column(CatalogueTable& table, const ArrayFields& fields, uint64_t number) {
    if (number == 1) {
        KeyFacts key;
        key.index = fields.text(0);
        key.primary = fields.flag(1);
        key.replica_identity = fields.flag(2);
        key.immediate = fields.flag(3);
        key.not_null = true;
        table.keys.push_back(std::move(key));
    }
    auto& key = table.keys.back();
    key.columns.push_back(fields.text(4));
    key.not_null = key.not_null && fields.flag(5);
    const bool common =
        fields.is_null(6) || (fields.text(6) == "=" && fields.text(7) == "pg_catalog");
    key.equals.push_back(
        common ? "="
               : fmt::format("OPERATOR({}.{})", quote_identifier(fields.text(7)), fields.text(6))
    );
}

/// Identity and key flags by the replica identity. Source: rules 11
void settle_identity(CatalogueTable& table) {
    std::ranges::sort(table.keys, {}, [](const KeyFacts& key) {
        return std::pair<bool, std::string_view>(!key.primary, key.index);
    });
    const KeyFacts* key = nullptr;
    const auto* primary = table.primary_key();
    if (table.replica_identity == 'f') {
        table.schema.identity = model::Identity::Full;
        key = primary;
    } else if (table.replica_identity == 'd' && primary != nullptr && primary->immediate) {
        table.schema.identity = model::Identity::PrimaryKey;
        key = primary;
    } else if (table.replica_identity == 'i') {
        const auto chosen = std::ranges::find_if(table.keys, &KeyFacts::replica_identity);
        key = chosen == table.keys.end() ? nullptr : &*chosen;
        table.schema.identity = key == nullptr ? model::Identity::None
                                : key->primary ? model::Identity::PrimaryKey
                                               : model::Identity::Index;
    }
    for (auto& column : table.schema.columns) {
        column.key =
            key != nullptr && std::ranges::find(key->columns, column.name) != key->columns.end();
    }
}

std::vector<CatalogueTable> take_tables(const Rows& rows) {
    std::vector<CatalogueTable> tables;
    for (size_t i = 0; i < rows.size(); ++i) {
        const ArrayFields fields(rows.text(i, 6));
        const auto kind = rows.text(i, 3);
        if (kind == "T") {
            tables.emplace_back();
            tables.back().oid = static_cast<uint32_t>(rows.number(i, 2));
            tables.back().schema.table = {
                std::string(rows.text(i, 0)), std::string(rows.text(i, 1))
            };
            take_relation(tables.back(), fields);
        } else if (kind == "C") {
            take_column(tables.back(), fields);
        } else {
            take_key_column(tables.back(), fields, rows.number(i, 5));
        }
    }
    std::ranges::for_each(tables, settle_identity);
    return tables;
}

constexpr std::string_view kApplicationTable =
    "c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND NOT EXISTS ("
    "SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid "
    "AND d.deptype = 'e')";
constexpr std::string_view kApplicationSchema =
    "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'qiao')";

std::string condition(const std::vector<TablePattern>& patterns) {
    std::string any = "false";
    std::string names;
    for (const auto& pattern : patterns) {
        if (!pattern.schema) {
            any += fmt::format(" OR ({} AND {})", kApplicationTable, kApplicationSchema);
        } else if (!pattern.name) {
            any += fmt::format(
                " OR (n.nspname = {} AND {})", quote_literal(*pattern.schema), kApplicationTable
            );
        } else {
            names += fmt::format(
                "{}({},{})",
                names.empty() ? "" : ",",
                quote_literal(*pattern.schema),
                quote_literal(*pattern.name)
            );
        }
    }
    if (!names.empty()) {
        any += fmt::format(" OR (n.nspname, c.relname) IN (VALUES {})", names);
    }
    return any;
}

/// Reads one part of a pattern and moves past it; none for a star.
Result<std::optional<std::string>> take_part(std::string_view text, size_t& at) {
    std::string part;
    const auto start = at;
    bool quoted = false;
    while (at < text.size() && (quoted || text[at] != '.')) {
        if (text[at] == '"') {
            const bool doubled = quoted && at + 1 < text.size() && text[at + 1] == '"';
            if (doubled) {
                part += '"';
                at += 2;
                continue;
            }
            quoted = !quoted;
        } else {
            part += text[at];
        }
        ++at;
    }
    const auto written = text.substr(start, at - start);
    if (quoted || part.empty()) {
        return Error(ErrorCode::Config, fmt::format("table pattern {}", text));
    }
    if (written == "*") {
        return std::optional<std::string>();
    }
    if (written.find('"') == std::string_view::npos && part.find('*') != std::string::npos) {
        return Error(
            ErrorCode::Config, fmt::format("table pattern {}: * stands for a whole name", text)
        );
    }
    return std::optional(part);
}

}  // namespace

Result<TablePattern> TablePattern::parse(std::string_view text) {
    size_t at = 0;
    QIAO_TRY(auto first, take_part(text, at));
    if (at == text.size()) {
        return first ? TablePattern{"public", std::move(first)} : TablePattern{};
    }
    ++at;
    QIAO_TRY(auto second, take_part(text, at));
    if (at != text.size() || (!first && second)) {
        return Error(ErrorCode::Config, fmt::format("table pattern {}", text));
    }
    return TablePattern{std::move(first), std::move(second)};
}

const KeyFacts* CatalogueTable::primary_key() const {
    return keys.empty() || !keys.front().primary ? nullptr : &keys.front();
}

const KeyFacts* CatalogueTable::key_within(const std::vector<std::string>& names) const {
    const auto inside = [&names](const std::string& name) {
        return std::ranges::find(names, name) != names.end();
    };
    const auto is_inside = [&inside](const KeyFacts& key) {
        return std::ranges::all_of(key.columns, inside);
    };
    const auto key = std::ranges::find_if(keys, is_inside);
    return key == keys.end() ? nullptr : &*key;
}

Task<Result<std::vector<CatalogueTable>>> read_tables(
    Connection& connection, std::vector<TablePattern> patterns
) {
    const auto sql = fmt::format(fmt::runtime(kQuery), condition(patterns));
    QIAO_CO_TRY(const auto rows, co_await connection.query(sql));
    auto tables = take_tables(rows);
    std::set<model::TableName> found;
    for (const auto& table : tables) {
        found.insert(table.schema.table);
    }
    for (const auto& pattern : patterns) {
        if (pattern.schema && pattern.name && !found.contains({*pattern.schema, *pattern.name})) {
            co_return Error(
                ErrorCode::DbNoTable, fmt::format("table {}.{}", *pattern.schema, *pattern.name)
            );
        }
    }
    co_return tables;
}

Task<Result<CatalogueTable>> read_table(Connection& connection, model::TableName table) {
    static const auto kSql = fmt::format(fmt::runtime(kQuery), "n.nspname = $1 AND c.relname = $2");
    std::vector<Parameter> names{Parameter::of_text(table.schema), Parameter::of_text(table.name)};
    QIAO_CO_TRY(const auto rows, co_await connection.query_prepared(kSql, std::move(names)));
    auto tables = take_tables(rows);
    if (tables.empty()) {
        co_return Error(ErrorCode::DbNoTable, "table " + table.to_string());
    }
    co_return std::move(tables.front());
}

std::string quote_table(const model::TableName& table) {
    return quote_identifier(table.schema) + "." + quote_identifier(table.name);
}

std::string quote_type(std::string_view canonical_type) {
    const auto dot = canonical_type.find('.');
    return quote_identifier(canonical_type.substr(0, dot)) + "." +
           quote_identifier(canonical_type.substr(dot + 1));
}

}  // namespace qiao::drivers::postgres
