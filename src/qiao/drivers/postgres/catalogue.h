#pragma once

#include "qiao/common/async/task.h"
#include "qiao/common/result.h"
#include "qiao/drivers/postgres/connection.h"
#include "qiao/model/table.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qiao::drivers::postgres {

enum class RelationKind : uint8_t { Table, Partitioned, View, MaterializedView, Foreign };

/// What model::Column does not say, for the column of the same index.
struct ColumnFacts {
    uint32_t type_oid = 0;
    uint32_t base_oid = 0;        ///< beneath domains
    std::string base_type;        ///< canonical name
    uint32_t base_array_oid = 0;  ///< of arrays over the base type; 0: there is none
    bool array = false;           ///< the base is itself an array
    bool composite = false;       ///< the base is a row type
    bool text_is_binary = false;  ///< both forms are the same bytes (text, varchar, enum, citext …)
    bool binary_safe = false;     ///< see binary_safe_type(); of the base
    bool identity_always = false;
};

/// A unique index that can name rows: valid, over plain columns of the whole table.
struct KeyFacts {
    std::string index;
    std::vector<std::string> columns;
    /// How its columns are compared: `=`, or `OPERATOR("public".=)` outside pg_catalog.
    std::vector<std::string> equals;
    bool primary = false;
    bool replica_identity = false;
    bool immediate = true;  ///< not deferrable
    bool not_null = false;  ///< all columns are
};

/// A relation as the catalogue tells it. Source: rules 11, 13
struct CatalogueTable {
    uint32_t oid = 0;
    RelationKind kind = RelationKind::Table;
    /// Columns in order without dropped ones; identity and key flags by the replica identity. With
    /// FULL the key flags are those of the primary key, if there is one.
    model::TableSchema schema;
    std::vector<ColumnFacts> columns;
    std::vector<KeyFacts> keys;                      ///< the primary key first
    char replica_identity = 'd';                     ///< d(efault) n(othing) i(ndex) f(ull)
    std::optional<model::TableName> partition_root;  ///< of a partition: the topmost table
    bool logged = true;  ///< neither UNLOGGED nor temporary: the log has its changes
    bool extension_member = false;
    uint64_t rows_estimated = 0;
    uint64_t bytes_estimated = 0;

    const KeyFacts* primary_key() const;
    /// The first key that is contained in these columns; null: they do not name rows.
    const KeyFacts* key_within(const std::vector<std::string>& names) const;
};

/// `*`, `schema.*`, `schema.table` or `table` (in public). Names are taken as they are written; a
/// part in double quotes may hold dots, stars and quotes (doubled).
struct TablePattern {
    std::optional<std::string> schema;  ///< none: every schema of the application
    std::optional<std::string> name;    ///< none: every table that stands for itself
    /// Errors: common.config.
    static Result<TablePattern> parse(std::string_view text);

    static TablePattern of(const model::TableName& table) { return {table.schema, table.name}; }
};

/// All relations that a pattern names, sorted by name, each once; one query, whatever the number.
/// Stars leave out system schemas, Qiao's own, partitions (they travel as their root), views,
/// foreign tables, and tables of extensions. Works on a replication connection too.
/// Errors: drivers.no_table for a name that is not there; drivers.*.
Task<Result<std::vector<CatalogueTable>>> read_tables(
    Connection& connection, std::vector<TablePattern> patterns
);

/// One table by its exact name. Not on a replication connection. Errors: drivers.no_table.
Task<Result<CatalogueTable>> read_table(Connection& connection, model::TableName table);

/// `"schema"."table"`
std::string quote_table(const model::TableName& table);
/// `"pg_catalog"."int4"` of a canonical type name.
std::string quote_type(std::string_view canonical_type);

}  // namespace qiao::drivers::postgres
