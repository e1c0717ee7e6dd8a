#include "qiao/drivers/postgres/internal/target_relation.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::drivers::postgres::internal {
namespace {

/// What judges set-based work, of the table and of all its partitions. Source: rules 19
constexpr const char* kConstraints = R"(
WITH tree AS (
  SELECT $1::oid AS oid UNION SELECT relid::oid FROM pg_partition_tree($1::oid::regclass)
), role AS (
  SELECT CASE WHEN current_setting('session_replication_role') = 'replica'
              THEN ARRAY['R', 'A'] ELSE ARRAY['O', 'A'] END AS fires
)
SELECT
  EXISTS (SELECT FROM pg_index i WHERE i.indrelid IN (SELECT oid FROM tree) AND i.indisunique
            AND (i.indpred IS NOT NULL OR i.indexprs IS NOT NULL OR NOT i.indisvalid
                 OR (i.indrelid <> $1::oid AND NOT EXISTS (
                       SELECT FROM pg_inherits h WHERE h.inhrelid = i.indexrelid)))),
  EXISTS (SELECT FROM pg_index i WHERE i.indrelid IN (SELECT oid FROM tree) AND i.indisunique
            AND NOT i.indimmediate),
  EXISTS (SELECT FROM pg_constraint c, role WHERE c.contype = 'f'
            AND 'O' = ANY (role.fires) AND c.conrelid IN (SELECT oid FROM tree)),
  EXISTS (SELECT FROM pg_constraint c, role WHERE c.contype = 'f'
            AND 'O' = ANY (role.fires) AND c.confrelid IN (SELECT oid FROM tree)),
  EXISTS (SELECT FROM pg_index i WHERE i.indrelid IN (SELECT oid FROM tree)
            AND i.indisexclusion),
  EXISTS (SELECT FROM pg_trigger t, role WHERE t.tgrelid IN (SELECT oid FROM tree)
            AND NOT t.tgisinternal AND t.tgenabled::text = ANY (role.fires)),
  EXISTS (SELECT FROM pg_rewrite r, role WHERE r.ev_class IN (SELECT oid FROM tree)
            AND r.ev_type <> '1' AND r.ev_enabled::text = ANY (role.fires)),
  row_security_active($1::oid),
  EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid IN (SELECT oid FROM tree) AND t.tgdeferrable),
  (SELECT c.reltype FROM pg_class c WHERE c.oid = $1::oid),
  NOT EXISTS (SELECT FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid
                WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
                  AND y.typreceive = 0))";

void take_constraints(TargetRelation& relation, const Rows& rows) {
    auto& table = relation.table;
    table.opaque_unique = rows.flag(0, 0);
    table.deferrable_unique = rows.flag(0, 1);
    table.foreign_keys_out = rows.flag(0, 2);
    table.foreign_keys_in = rows.flag(0, 3);
    table.exclusion = rows.flag(0, 4);
    table.row_triggers = rows.flag(0, 5);
    table.rules = rows.flag(0, 6);
    table.row_security = rows.flag(0, 7);
    relation.deferrable = rows.flag(0, 8);
    relation.row_type_oid = static_cast<uint32_t>(rows.number(0, 9));
    relation.reads_rows = rows.flag(0, 10);
}

TargetTable target_table(const CatalogueTable& catalogue) {
    TargetTable table;
    table.name = catalogue.schema.table;
    table.partitioned = catalogue.kind == RelationKind::Partitioned;
    for (size_t i = 0; i < catalogue.columns.size(); ++i) {
        const auto& column = catalogue.schema.columns[i];
        table.columns.push_back(
            {.name = column.name,
             .type = column.type,
             .modifier = column.modifier,
             .not_null = column.not_null,
             .generated = column.generated,
             .identity_always = catalogue.columns[i].identity_always}
        );
    }
    for (const auto& key : catalogue.keys) {
        if (key.primary) {
            table.primary_key = key.columns;
        } else {
            table.unique_keys.push_back(key.columns);
        }
    }
    return table;
}

}  // namespace

std::string TargetRelation::only() const {
    const auto name = quote_table(table.name);
    return catalogue.kind == RelationKind::Table ? "ONLY " + name : name;
}

Task<Result<TargetRelation>> read_target_relation(Connection& connection, model::TableName table) {
    TargetRelation relation;
    QIAO_CO_TRY(relation.catalogue, co_await read_table(connection, std::move(table)));
    relation.table = target_table(relation.catalogue);
    if (relation.catalogue.kind == RelationKind::MaterializedView) {
        co_return Error(
            ErrorCode::DbStatement,
            relation.table.name.to_string() + " is a materialized view and takes no rows"
        );
    }
    std::vector<Parameter> number{Parameter::of_text(std::to_string(relation.catalogue.oid))};
    QIAO_CO_TRY(
        const auto rows, co_await connection.query_prepared(kConstraints, std::move(number))
    );
    take_constraints(relation, rows);
    co_return relation;
}

}  // namespace qiao::drivers::postgres::internal
