#pragma once

#include "qiao/common/bytes.h"
#include "qiao/common/id.h"
#include "qiao/common/result.h"

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace qiao::model {

/// Names a table definition by its content: XXH3-128 of TableSchema::encode(). Source: rules 6
using SchemaId = StrongBytes<struct SchemaIdTag, 16>;

struct TableName {
    std::string schema;  ///< `public`; empty where the database has no schemas
    std::string name;
    auto operator<=>(const TableName&) const = default;
    /// `public.person`; for people and logs, not for SQL.
    std::string to_string() const;
};

/// What a change says about the row it means. Source: rules 11
enum class Identity : uint8_t {
    None = 0,        ///< inserts and truncates only
    PrimaryKey = 1,  ///< key columns are the primary key
    Index = 2,       ///< key columns are a unique index chosen by the owner
    Full = 3,        ///< the whole old row
};

struct Column {
    std::string name;
    std::string type;       ///< schema-qualified and without modifier: `pg_catalog.int4`
    uint32_t type_id = 0;   ///< the source's own number for it; means nothing elsewhere
    int32_t modifier = -1;  ///< length or precision as the source encodes it; -1: none
    std::string collation;  ///< empty: the database's default
    bool key = false;       ///< belongs to the identity
    bool not_null = false;
    bool generated = false;  ///< computed by the database: never written
    bool operator==(const Column&) const = default;
};

/// The shape of the rows of one table at one place in a stream.
struct TableSchema {
    TableName table;
    Identity identity = Identity::None;
    std::vector<Column> columns;

    bool operator==(const TableSchema&) const = default;
    Bytes encode() const;
    /// Errors: packet.malformed.
    static Result<TableSchema> decode(ByteView bytes);
    SchemaId id() const;
    std::optional<size_t> find_column(std::string_view name) const;
    std::vector<size_t> key_columns() const;
};

}  // namespace qiao::model
