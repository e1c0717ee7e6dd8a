#pragma once

#include "qiao/drivers/structure.h"

#include <span>
#include <string_view>

namespace qiao::drivers::postgres::structure {

/// A query that writes the statements of one kind of object.
///
/// Parameters: $1 OIDs, $2 schemas and $3 names at the target of all tables and sequences that are
/// made; $4 OIDs of the objects of `catalogue` that are made. kDefinitionHead offers them as
/// `rel(oid, schema, name, q, old_q, relkind)` and `want(oid)`; `q` is the quoted name there,
/// `old_q` the one here. The session has an empty search path and quotes all identifiers, so that
/// what the server prints is qualified, and a name can be replaced by its exact text.
/// Result: oid, object for people, schema and name of the table it belongs to (or null), probe,
/// SQL.
struct Definition {
    StructurePhase phase;
    std::string_view kind;
    std::string_view catalogue;
    std::string_view sql;
};

inline constexpr std::string_view kDefinitionHead = R"(
WITH rel AS (
    SELECT r.oid, r.schema, r.name, format('%I.%I', r.schema, r.name) AS q,
           format('%I.%I', n.nspname, c.relname) AS old_q, c.relkind
    FROM unnest($1::pg_catalog.oid[], $2::text[], $3::text[]) AS r(oid, schema, name)
    JOIN pg_class c ON c.oid = r.oid JOIN pg_namespace n ON n.oid = c.relnamespace
), want AS (SELECT unnest($4::pg_catalog.oid[]) AS oid)
)";

/// Before everything, in this order: schemas, extensions.
std::span<const Definition> ground_definitions();
/// Made in the order in which they need each other: collations, types, functions, sequences,
/// tables.
std::span<const Definition> object_definitions();
/// What completes tables, in this order: defaults, checks, partitions, identity, primary keys.
std::span<const Definition> table_part_definitions();
/// After the load, in this order: keys, indexes, foreign keys, comments, sequence values.
std::span<const Definition> after_load_definitions();

/// What chosen tables have at the source and will not have at the target.
/// $1…$4 as above; result: object, kind (a row of kReasons).
std::string_view left_out_query();

/// Why a kind of thing is left out.
struct Reason {
    std::string_view kind, en, zh;
};

std::span<const Reason> reasons();

}  // namespace qiao::drivers::postgres::structure
