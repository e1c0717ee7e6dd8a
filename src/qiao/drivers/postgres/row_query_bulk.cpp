#include "qiao/drivers/load_rows.h"
#include "qiao/drivers/postgres/row_query.h"
#include "qiao/drivers/postgres/structure/read.h"

#include <fmt/format.h>

#include <algorithm>

// What a first load needs of tables and views by time: a table for the rows, and all rows at once.
namespace qiao::drivers::postgres {
namespace {

std::string literals(const std::vector<std::string>& values) {
    std::string text;
    for (const auto& value : values) {
        text += (text.empty() ? "" : ", ") + quote_literal(value);
    }
    return text;
}

/// A type that any database has, for values of a column; notes what becomes plain text.
std::string plain_type(
    const ColumnShape& column, const ColumnFacts& facts, const std::string& table, Structure& into
) {
    if (facts.base_type.starts_with("pg_catalog.")) {
        return column.base;
    }
    into.left_out.push_back(
        {table + "." + column.name,
         "type",
         "its type " + column.type + " is not built in: it becomes text",
         "类型 " + column.type + " 不是内置类型,将改为 text"}
    );
    return "text";
}

/// The table as shape and as SQL.
void make_table(
    const CatalogueTable& table,
    const std::vector<std::string>& keys,
    const model::TableSchema& wanted,
    const model::TableName& target,
    TableShape& shape,
    Structure& into
) {
    std::vector<ColumnShape> kept;
    std::string columns;
    for (size_t i = 0; i < shape.columns.size() && i < table.columns.size(); ++i) {
        auto column = shape.columns[i];
        if (!wanted.find_column(column.name)) {
            continue;
        }
        column.type = column.base =
            plain_type(column, table.columns[i], table.schema.table.to_string(), into);
        column.not_null = std::ranges::find(keys, column.name) != keys.end();
        column.has_default = column.identity = false;
        column.generated.clear();
        column.labels.clear();
        columns += fmt::format(
            "    {} {}{},\n",
            quote_identifier(column.name),
            column.type,
            column.not_null ? " NOT NULL" : ""
        );
        kept.push_back(std::move(column));
    }
    std::string key;
    for (const auto& name : keys) {
        key += (key.empty() ? "" : ", ") + quote_identifier(name);
    }
    shape.columns = std::move(kept);
    shape.primary_key = keys;
    shape.unique_keys.clear();
    into.statements.push_back(
        {StructurePhase::BeforeLoad,
         "table",
         target.to_string(),
         target,
         fmt::format("pg_catalog.to_regclass({}) IS NOT NULL", quote_literal(quote_table(target))),
         fmt::format(
             "CREATE TABLE {} (\n{}    PRIMARY KEY ({})\n)", quote_table(target), columns, key
         )}
    );
}

}  // namespace

Task<Result<Structure>> PostgresRowQuery::structure(TimedTable table, model::TableName target) {
    QIAO_CO_TRY(const auto* const description, co_await known(table));
    std::vector<model::TableName> names{table.table};
    Structure structure;
    QIAO_CO_TRY(structure.shape, co_await read_shape(*connection_, std::move(names)));
    if (!structure.shape.tables.at(0)) {
        co_return Error(ErrorCode::DbNoTable, table.table.to_string());
    }
    structure.tables.push_back({table.table, target});
    structure.statements.push_back(
        {StructurePhase::BeforeLoad,
         "schema",
         target.schema,
         {},
         fmt::format(
             "EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = {})",
             quote_literal(target.schema)
         ),
         fmt::format("CREATE SCHEMA {}", quote_identifier(target.schema))}
    );
    make_table(
        description->table,
        description->keys,
        description->schema,
        target,
        *structure.shape.tables[0],
        structure
    );
    co_return structure;
}

Task<Status> PostgresRowQuery::begin_bulk(TimedTable table, std::string to, LeftOutRows left_out) {
    QIAO_CO_TRY(const auto* const description, co_await known(table));
    std::string columns;
    for (const auto& column : description->schema.columns) {
        columns += (columns.empty() ? "" : ", ") + quote_identifier(column.name);
    }
    auto condition = fmt::format(
        "{} <= {}", comparable(*description, table.stamp), bound(*description, quote_literal(to))
    );
    if (!left_out.column.empty() && !left_out.values.empty()) {
        // As the server prints it, which is what a page of rows shows too.
        condition += fmt::format(
            " AND NOT ({0} IS NOT NULL AND rtrim(format('%s', {0})) IN ({1}))",
            quote_identifier(left_out.column),
            literals(left_out.values)
        );
    }
    bulk_schema_ = description->schema;
    co_return co_await connection_->begin_copy_out(fmt::format(
        "COPY (SELECT {} FROM {} WHERE {}) TO STDOUT", columns, quote_table(table.table), condition
    ));
}

Task<Result<BulkRows>> PostgresRowQuery::next_bulk(
    size_t bytes, size_t value_bytes_max, StopSignal& stop
) {
    BulkRows result;
    while (result.rows.size() + result.withheld.size() < bytes) {
        bool ended = false;
        QIAO_CO_TRY(const auto row, connection_->try_copy_out(ended));
        if (row) {
            QIAO_CO_TRY(
                const auto kept,
                withhold_row(LoadFormat::PgCopyText, bulk_schema_, *row, value_bytes_max)
            );
            const ByteView taken = kept ? ByteView(*kept) : *row;
            auto& rows = kept ? result.withheld : result.rows;
            rows.insert(rows.end(), taken.begin(), taken.end());
            ++result.count;
        } else if (ended) {
            QIAO_CO_CHECK(co_await connection_->end_copy_out());
            result.last = true;
            break;
        } else {
            QIAO_CO_CHECK(co_await connection_->wait_readable(Deadline::never(), stop));
        }
    }
    co_return result;
}

}  // namespace qiao::drivers::postgres
