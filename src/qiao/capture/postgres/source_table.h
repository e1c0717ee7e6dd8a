#pragma once

#include "qiao/drivers/postgres/connection.h"
#include "qiao/model/table.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace qiao::capture::postgres {

/// A table of a flow, and what of it: see model::TableSelection. Spec: R-12
struct ChosenTable {
    model::TableName name;
    std::vector<std::string> columns{};
    std::string where{};
    bool operator==(const ChosenTable&) const = default;
};

/// Why a table cannot be captured, and what its owner can run.
struct Refusal {
    std::string reason_en;
    std::string reason_zh;
    std::string mend;
};

/// A piece of a table that has rows of its own: the table itself, or a partition's leaf.
struct Leaf {
    uint32_t oid = 0;
    model::TableName name;
    uint64_t bytes = 0;
    uint64_t rows_estimated = 0;
    bool heap = true;  ///< can be read by page ranges
};

/// A chosen table as the source's catalogue tells it now.
struct SourceTable {
    uint32_t oid = 0;
    /// The rows as the stream will bring them: chosen columns, without generated ones.
    model::TableSchema schema;
    std::vector<Leaf> leaves;
    bool partitioned = false;
    bool whole = true;        ///< all columns that the server sends are chosen
    bool binary_safe = true;  ///< every column that the server sends may travel in binary form
    std::string where;        ///< rows that this is true of; empty: all
    bool owned = false;       ///< by the role we are, or one it belongs to
    std::string owner;
    std::vector<std::string> text_columns;  ///< those that are not binary-safe, chosen or not
    std::optional<Refusal> refusal;

    const model::TableName& name() const { return schema.table; }
};

/// Reads what the chosen tables are, in their order; a table that cannot be captured has a refusal,
/// also one that is not there. Spec: R-28. Source: rules 11, 15
Task<Result<std::vector<SourceTable>>> read_source_tables(
    drivers::postgres::Connection& connection, std::vector<ChosenTable> chosen
);

/// The first refusal as capture.table, with reason and mending SQL.
Status all_capturable(const std::vector<SourceTable>& tables);

/// What a relation message does not say about its columns.
struct ColumnFact {
    std::string name;
    std::string type;  ///< as model::Column::type
    uint32_t type_id = 0;
    int32_t modifier = -1;
    std::string collation;
    bool not_null = false;
    bool binary_safe = true;
    bool key = false;  ///< of the replica identity; with FULL, of the primary key
    bool generated = false;
    bool readable = true;
};

/// The columns of a table by number, with those dropped left out.
Task<Result<std::vector<ColumnFact>>> read_columns(
    drivers::postgres::Connection& connection, uint32_t table
);

/// An array of texts as one parameter.
drivers::postgres::Parameter text_array(const std::vector<std::string>& values);

}  // namespace qiao::capture::postgres
