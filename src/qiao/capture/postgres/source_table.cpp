#include "qiao/capture/postgres/source_table.h"

#include "qiao/capture/postgres/internal/catalogue_sql.h"
#include "qiao/drivers/postgres/catalogue.h"
#include "qiao/drivers/postgres/types.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

namespace qiao::capture::postgres {
namespace {

using drivers::postgres::binary_safe_type;
using drivers::postgres::Connection;
using drivers::postgres::Parameter;
using drivers::postgres::quote_identifier;
using drivers::postgres::quote_table;
using drivers::postgres::Rows;
using internal::kHasIdentity;
using internal::kIdentityIndex;

/// The type beneath a domain decides whether binary values mean the same elsewhere.
constexpr std::string_view kColumns =
    "SELECT c.oid, a.attname, tn.nspname || '.' || t.typname, t.oid,"
    " CASE WHEN a.attcollation <> 0 AND a.attcollation <> t.typcollation"
    " THEN cn.nspname || '.' || co.collname ELSE '' END, a.attnotnull,"
    " bn.nspname || '.' || b.typname,"
    " coalesce(a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]), false)"
    " OR c.relreplident = 'f' AND EXISTS (SELECT FROM pg_index k WHERE k.indrelid = c.oid"
    " AND k.indisprimary AND a.attnum = ANY ((k.indkey::int2[])[0:k.indnkeyatts - 1])),"
    " a.attgenerated <> '', has_column_privilege(a.attrelid, a.attnum, 'SELECT'), a.atttypmod"
    " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
    " JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace tn ON tn.oid = t.typnamespace"
    " JOIN pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END"
    " JOIN pg_namespace bn ON bn.oid = b.typnamespace"
    " LEFT JOIN pg_collation co ON co.oid = a.attcollation"
    " LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace"
    " LEFT JOIN pg_index i ON i.indexrelid = {index}"
    " WHERE c.oid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped"
    " ORDER BY c.oid, a.attnum";

constexpr std::string_view kTables =
    "SELECT w.number - 1, c.oid, c.relkind, c.relpersistence, c.relreplident, {identity},"
    " pg_get_userbyid(c.relowner), pg_has_role(c.relowner, 'USAGE'),"
    " c.oid < 16384 OR n.nspname IN ('pg_catalog', 'information_schema', 'pg_toast'),"
    " coalesce((SELECT string_agg(r.relname, ',') FROM pg_partition_ancestors(c.oid) a"
    " JOIN pg_class r ON r.oid = a.relid JOIN pg_namespace rn ON rn.oid = r.relnamespace"
    " WHERE a.relid <> c.oid AND (rn.nspname, r.relname)"
    " IN (SELECT * FROM unnest($1::text[], $2::text[]))), ''),"
    " has_schema_privilege(n.oid, 'USAGE')"
    " FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (s, t, number)"
    " JOIN pg_namespace n ON n.nspname = w.s"
    " JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.t ORDER BY 1";

constexpr std::string_view kLeaves =
    "SELECT c.oid, l.oid, n.nspname, l.relname, l.relkind, l.relpersistence,"
    " CASE WHEN l.relkind = 'r' THEN pg_relation_size(l.oid) ELSE 0 END,"
    " greatest(l.reltuples, 0)::bigint, coalesce(am.amname = 'heap', false)"
    " FROM pg_class c CROSS JOIN LATERAL (SELECT c.oid AS oid WHERE c.relkind <> 'p'"
    " UNION ALL SELECT p.relid FROM pg_partition_tree(c.oid) p"
    " WHERE p.isleaf AND c.relkind = 'p') AS x"
    " JOIN pg_class l ON l.oid = x.oid JOIN pg_namespace n ON n.oid = l.relnamespace"
    " LEFT JOIN pg_am am ON am.oid = l.relam WHERE c.oid = ANY ($1::oid[]) ORDER BY 1, 2";

std::string filled(std::string_view sql, std::string_view name, std::string_view text) {
    std::string result(sql);
    const auto mark = fmt::format("{{{}}}", name);
    for (auto at = result.find(mark); at != std::string::npos; at = result.find(mark)) {
        result.replace(at, mark.size(), text);
    }
    return result;
}

std::optional<Refusal> refuse_kind(char kind, char persistence, const model::TableName& table) {
    const auto name = quote_table(table);
    if (persistence == 'u') {
        return Refusal{
            "an unlogged table writes no log",
            "unlogged 表不写日志",
            fmt::format("ALTER TABLE {} SET LOGGED;", name)
        };
    }
    if (persistence == 't') {
        return Refusal{"a temporary table writes no log", "临时表不写日志", ""};
    }
    switch (kind) {
        case 'r':
        case 'p':
            return std::nullopt;
        case 'v':
        case 'm':
            return Refusal{
                "a view has no log of its own; choose the tables behind it, or --mode timestamp",
                "视图自身不产生日志;请选择其基表,或使用 --mode timestamp",
                ""
            };
        case 'f':
            return Refusal{
                "a foreign table's rows are on another server; capture them there",
                "外部表的数据在其他服务器上,请在该处采集",
                ""
            };
        default:
            return Refusal{"it is not a table", "对象不是表", ""};
    }
}

Refusal missing() {
    return {"it does not exist", "表不存在", "-- correct the name, or create the table"};
}

struct TableRow {
    char kind = 'r';
    char persistence = 'p';
    char replica_identity = 'd';
    bool has_identity = false;
    bool system = false;
    std::string chosen_root;
};

model::Identity identity_of(const TableRow& row) {
    if (!row.has_identity) {
        return model::Identity::None;
    }
    return row.replica_identity == 'f'   ? model::Identity::Full
           : row.replica_identity == 'i' ? model::Identity::Index
                                         : model::Identity::PrimaryKey;
}

std::optional<Refusal> refuse(const TableRow& row, const model::TableName& table) {
    if (row.system) {
        return Refusal{"a system table is never published", "系统表不能发布", ""};
    }
    if (!row.chosen_root.empty()) {
        return Refusal{
            fmt::format("it is a partition of {}, which is chosen too", row.chosen_root),
            fmt::format("它是已选表 {} 的分区", row.chosen_root),
            ""
        };
    }
    return refuse_kind(row.kind, row.persistence, table);
}

bool is_chosen(const ChosenTable& chosen, const std::string& column) {
    return chosen.columns.empty() ||
           std::ranges::find(chosen.columns, column) != chosen.columns.end();
}

/// Puts the columns into the table, and finds what stands against them.
void take_columns(SourceTable& table, const ChosenTable& chosen, std::vector<ColumnFact> facts) {
    const bool identified = table.schema.identity != model::Identity::None;
    for (const auto& wanted : chosen.columns) {
        const auto has_name = [&](const ColumnFact& fact) { return fact.name == wanted; };
        if (std::ranges::none_of(facts, has_name)) {
            table.refusal = Refusal{
                fmt::format("it has no column {}", wanted), fmt::format("没有列 {}", wanted), ""
            };
        }
    }
    for (auto& fact : facts) {
        if (fact.generated) {
            continue;
        }
        if (!fact.binary_safe) {
            table.binary_safe = false;
            table.text_columns.push_back(fact.name);
        }
        const bool key = fact.key && identified;
        if (!is_chosen(chosen, fact.name)) {
            table.whole = false;
            if (key && table.schema.identity != model::Identity::Full) {
                table.refusal = Refusal{
                    fmt::format("column {} belongs to its key and is not chosen", fact.name),
                    fmt::format("主键列 {} 未被选中", fact.name),
                    ""
                };
            }
            continue;
        }
        if (!fact.readable) {
            table.refusal = Refusal{
                fmt::format("column {} may not be read", fact.name),
                fmt::format("无权读取列 {}", fact.name),
                fmt::format("GRANT SELECT ON {} TO CURRENT_USER;", quote_table(table.schema.table))
            };
        }
        model::Column column;
        column.name = std::move(fact.name);
        column.type = std::move(fact.type);
        column.type_id = fact.type_id;
        column.modifier = fact.modifier;
        column.collation = std::move(fact.collation);
        column.key = key;
        column.not_null = fact.not_null;
        table.schema.columns.push_back(std::move(column));
    }
}

void take_leaf(SourceTable& table, const Rows& rows, size_t row) {
    Leaf leaf;
    leaf.oid = static_cast<uint32_t>(rows.number(row, 1));
    leaf.name = {std::string(rows.text(row, 2)), std::string(rows.text(row, 3))};
    leaf.bytes = rows.number(row, 6);
    leaf.rows_estimated = rows.number(row, 7);
    leaf.heap = rows.flag(row, 8);
    auto refusal = refuse_kind(rows.text(row, 4)[0], rows.text(row, 5)[0], leaf.name);
    if (refusal && !table.refusal) {
        refusal->reason_en =
            fmt::format("partition {}: {}", leaf.name.to_string(), refusal->reason_en);
        refusal->reason_zh = fmt::format("分区 {}:{}", leaf.name.to_string(), refusal->reason_zh);
        table.refusal = std::move(refusal);
    }
    table.leaves.push_back(std::move(leaf));
}

/// Tables by number: those that nothing stands against so far.
using ByNumber = std::map<uint32_t, SourceTable*>;

Parameter numbers_of(const ByNumber& tables) {
    std::vector<std::string> numbers;
    for (const auto& [number, table] : tables) {
        numbers.push_back(std::to_string(number));
    }
    return text_array(numbers);
}

Task<Status> read_leaves(Connection& connection, const ByNumber& tables) {
    std::vector<Parameter> parameters{numbers_of(tables)};
    QIAO_CO_TRY(
        const auto rows, co_await connection.query(std::string(kLeaves), std::move(parameters))
    );
    for (size_t row = 0; row < rows.size(); ++row) {
        take_leaf(*tables.at(static_cast<uint32_t>(rows.number(row, 0))), rows, row);
    }
    for (const auto& [number, table] : tables) {
        if (table->leaves.empty()) {
            // A partitioned table without partitions: its load has no rows, and ends.
            table->leaves.push_back({number, table->name(), 0, 0, false});
        }
    }
    co_return Status{};
}

constexpr int kFirstWithRowFilters = 150000;

/// Whether the server understands the condition: as one expression over this table's columns.
Task<Status> take_condition(Connection& connection, SourceTable& table, std::string where) {
    if (where.empty()) {
        co_return Status{};
    }
    table.where = std::move(where);
    if (connection.server_version() < kFirstWithRowFilters) {
        table.refusal = Refusal{
            "a condition on its rows needs PostgreSQL 15 or newer at the source",
            "按条件选择行需要源端为 PostgreSQL 15 或更高版本",
            ""
        };
        co_return Status{};
    }
    // With parameters, even none, the server takes one statement only.
    const auto understood = co_await connection.query(
        fmt::format(
            "SELECT FROM ONLY {} WHERE ({}) LIMIT 0", quote_table(table.name()), table.where
        ),
        {}
    );
    if (!understood && !connection.alive()) {
        co_return understood.error();
    }
    if (!understood) {
        const auto cause = understood.error().detail();
        table.refusal = Refusal{
            fmt::format("its condition ({}) is not understood: {}", table.where, cause),
            fmt::format("无法识别其行条件({}):{}", table.where, cause),
            ""
        };
    }
    co_return Status{};
}

using Facts = std::map<uint32_t, std::vector<ColumnFact>>;

/// Columns of tables by number, with those dropped left out.
Task<Result<Facts>> read_columns_of(Connection& connection, Parameter numbers) {
    std::vector<Parameter> parameters{std::move(numbers)};
    static const auto kSql = filled(kColumns, "index", kIdentityIndex);
    QIAO_CO_TRY(const auto rows, co_await connection.query_prepared(kSql, std::move(parameters)));
    Facts facts;
    for (size_t row = 0; row < rows.size(); ++row) {
        ColumnFact fact;
        fact.name = rows.text(row, 1);
        fact.type = rows.text(row, 2);
        fact.type_id = static_cast<uint32_t>(rows.number(row, 3));
        fact.collation = rows.text(row, 4);
        fact.not_null = rows.flag(row, 5);
        fact.binary_safe = binary_safe_type(rows.text(row, 6));
        fact.key = rows.flag(row, 7);
        fact.generated = rows.flag(row, 8);
        fact.readable = rows.flag(row, 9);
        const auto modifier = rows.text(row, 10);
        std::from_chars(modifier.data(), modifier.data() + modifier.size(), fact.modifier);
        facts[static_cast<uint32_t>(rows.number(row, 0))].push_back(std::move(fact));
    }
    co_return facts;
}

/// What many tables are, in a few questions. A table may be chosen once.
Task<Status> read_details(
    Connection& connection, std::vector<SourceTable>& tables, const std::vector<ChosenTable>& chosen
) {
    ByNumber found;
    for (auto& table : tables) {
        if (!table.refusal) {
            found[table.oid] = &table;
        }
    }
    if (found.empty()) {
        co_return Status{};
    }
    QIAO_CO_TRY(auto facts, co_await read_columns_of(connection, numbers_of(found)));
    for (size_t i = 0; i < tables.size(); ++i) {
        if (!tables[i].refusal) {
            take_columns(tables[i], chosen[i], std::move(facts[tables[i].oid]));
            QIAO_CO_CHECK(co_await take_condition(connection, tables[i], chosen[i].where));
        }
    }
    co_return co_await read_leaves(connection, found);
}

}  // namespace

Parameter text_array(const std::vector<std::string>& values) {
    std::string text = "{";
    for (const auto& value : values) {
        text += text.size() == 1 ? "\"" : ",\"";
        for (const char c : value) {
            text += c == '"' || c == '\\' ? std::string{'\\', c} : std::string{c};
        }
        text += '"';
    }
    return Parameter::of_text(text + "}");
}

Task<Result<std::vector<ColumnFact>>> read_columns(Connection& connection, uint32_t table) {
    QIAO_CO_TRY(
        auto facts, co_await read_columns_of(connection, text_array({std::to_string(table)}))
    );
    co_return std::move(facts[table]);
}

Task<Result<std::vector<SourceTable>>> read_source_tables(
    Connection& connection, std::vector<ChosenTable> chosen
) {
    std::vector<SourceTable> tables(chosen.size());
    std::vector<std::string> schemas;
    std::vector<std::string> names;
    for (size_t i = 0; i < chosen.size(); ++i) {
        tables[i].schema.table = chosen[i].name;
        tables[i].refusal = missing();
        schemas.push_back(chosen[i].name.schema);
        names.push_back(chosen[i].name.name);
    }
    std::vector<Parameter> parameters{text_array(schemas), text_array(names)};
    auto sql = filled(filled(kTables, "identity", kHasIdentity), "index", kIdentityIndex);
    QIAO_CO_TRY(const auto rows, co_await connection.query(std::move(sql), std::move(parameters)));
    for (size_t i = 0; i < rows.size(); ++i) {
        auto& table = tables[rows.number(i, 0)];
        TableRow row;
        table.oid = static_cast<uint32_t>(rows.number(i, 1));
        row.kind = rows.text(i, 2)[0];
        row.persistence = rows.text(i, 3)[0];
        row.replica_identity = rows.text(i, 4)[0];
        row.has_identity = rows.flag(i, 5);
        table.owner = rows.text(i, 6);
        table.owned = rows.flag(i, 7);
        row.system = rows.flag(i, 8);
        row.chosen_root = rows.text(i, 9);
        table.partitioned = row.kind == 'p';
        table.schema.identity = identity_of(row);
        table.refusal = refuse(row, table.name());
        if (!table.refusal && !rows.flag(i, 10)) {
            table.refusal = Refusal{
                "its schema may not be used",
                "无权使用其所在模式",
                fmt::format(
                    "GRANT USAGE ON SCHEMA {} TO CURRENT_USER;",
                    quote_identifier(table.name().schema)
                )
            };
        }
    }
    QIAO_CO_CHECK(co_await read_details(connection, tables, chosen));
    co_return tables;
}

Status all_capturable(const std::vector<SourceTable>& tables) {
    for (const auto& table : tables) {
        if (table.refusal) {
            return Error(
                ErrorCode::CaptureTable,
                fmt::format(
                    "{}: {}{}{}",
                    table.name().to_string(),
                    table.refusal->reason_en,
                    table.refusal->mend.empty() ? "" : "; run: ",
                    table.refusal->mend
                )
            );
        }
    }
    return {};
}

}  // namespace qiao::capture::postgres
