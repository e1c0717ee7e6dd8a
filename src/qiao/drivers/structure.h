#pragma once

#include "qiao/common/result.h"
#include "qiao/drivers/finding.h"
#include "qiao/model/table.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace qiao::drivers {

/// A chosen table and the name that it has at the target.
struct TablePair {
    model::TableName source;
    model::TableName target;
    bool operator==(const TablePair&) const = default;
};

/// When a statement may run. Numbers never change: they cross the link.
enum class StructurePhase : uint8_t {
    /// Schemas to primary keys: all that rows need. The first that is refused ends it.
    BeforeLoad = 1,
    /// Other keys, indexes, foreign keys, comments, sequence values: cheaper, or only possible,
    /// with the rows in place. Each by itself; all of them can be repeated.
    AfterLoad = 2,
};

/// One step of making a structure, in the target's own language.
struct StructureStatement {
    StructurePhase phase = StructurePhase::BeforeLoad;
    std::string kind;    ///< `table`, `index`, `default`: a word of the target's language
    std::string object;  ///< `public.person`, for people
    /// The chosen table (or partition of one) that the statement belongs to: it is not run when
    /// this table was there already. Empty for what tables share, like types.
    model::TableName table;
    /// An expression that is true at the target when there is nothing to do: an attempt that broke
    /// off is gone on with. Empty: always run, again without harm.
    std::string probe;
    std::string sql;
    bool operator==(const StructureStatement&) const = default;
};

/// Something at the source that is not brought, and why. Never silent.
struct LeftOut {
    std::string object;
    std::string kind;
    std::string reason_en;
    std::string reason_zh;
    bool operator==(const LeftOut&) const = default;
};

struct ColumnShape {
    std::string name;
    std::string type;     ///< with modifier, as SQL: `character varying(20)`, `"s"."mood"`
    std::string base;     ///< the type without modifier; what a domain stands on
    int32_t length = -1;  ///< of character and bit types; -1: no limit
    bool not_null = false;
    bool has_default = false;
    bool identity = false;
    std::string generated;            ///< the expression; empty: an ordinary column
    std::vector<std::string> labels;  ///< of an enumeration, in order
    bool operator==(const ColumnShape&) const = default;
};

/// What decides whether rows of one table fit into another.
struct TableShape {
    model::TableName name;
    std::vector<ColumnShape> columns;
    std::vector<std::string> primary_key;
    std::vector<std::vector<std::string>> unique_keys;  ///< over plain columns, without the primary
    bool operator==(const TableShape&) const = default;
};

/// How a database counts and stores characters; decides which lengths are enough. Spec: R-47
struct CharacterSet {
    std::string name;           ///< `UTF8`, `EUC_CN`
    uint32_t bytes_max = 1;     ///< of one character
    bool counts_bytes = false;  ///< length limits are bytes (PostgreSQL's SQL_ASCII)
    bool operator==(const CharacterSet&) const = default;
};

/// Shapes of tables of one database, in the order they were asked for; nullopt: no such table.
struct DatabaseShape {
    CharacterSet characters;
    std::vector<std::optional<TableShape>> tables;
    bool operator==(const DatabaseShape&) const = default;
};

/// All that the chosen tables need at another database, and what they will not get.
struct Structure {
    std::vector<TablePair> tables;
    std::vector<StructureStatement> statements;  ///< in the order of execution
    std::vector<LeftOut> left_out;
    /// The chosen tables, under their names at the source, in the order of `tables`.
    DatabaseShape shape;

    bool operator==(const Structure&) const = default;
    /// Crosses the link from the source's agent to the target's. Layout: u8 version, then lists
    /// with u32 counts; texts with u32 lengths.
    Bytes encode() const;
    /// Errors: packet.malformed.
    static Result<Structure> decode(ByteView bytes);
};

/// A shape alone, for `qiao check` across a link. Errors of decode: packet.malformed.
Bytes encode_shape(const DatabaseShape& shape);
Result<DatabaseShape> decode_shape(ByteView bytes);

/// A statement that the target refused, with all that mends it by hand.
struct FailedStatement {
    std::string object;
    std::string sql;
    std::string error;
};

/// What making a structure did.
struct CreateReport {
    std::vector<std::string> made;     ///< `table public.person`
    std::vector<std::string> existed;  ///< was there and stays as it is
    /// Tables that were there before the first phase: what belongs to them is not ours to add.
    std::vector<model::TableName> existing_tables;
    /// Chosen tables that are not there after the first phase; the findings tell why.
    std::vector<model::TableName> missing_tables;
    std::vector<FailedStatement>
        failed;                     ///< after the load only: before it, the first one ends all
    std::vector<Finding> findings;  ///< how tables that existed differ
};

}  // namespace qiao::drivers
