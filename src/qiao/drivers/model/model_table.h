#pragma once

#include "qiao/common/result.h"
#include "qiao/drivers/target_table.h"
#include "qiao/model/change.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace qiao::drivers::model_db {

/// A value as its bytes; text and binary are not told apart. Empty: NULL.
using Cell = std::optional<std::string>;
using Row = std::vector<Cell>;

/// `child` columns name a row of `parent` by its primary key, or hold a NULL.
struct ForeignKey {
    model::TableName child;
    std::vector<std::string> columns;
    model::TableName parent;
    bool deferred = false;
};

/// Rows of one table under a primary key and unique keys. Copied whole for a transaction, which
/// makes rollback and savepoints plain assignments.
class ModelTable {
public:
    explicit ModelTable(TargetTable target);

    const TargetTable& target() const { return target_; }

    /// Sorted, columns in the table's order.
    std::vector<Row> rows() const;

    size_t size() const { return rows_.size(); }

    void clear() { rows_.clear(); }

    /// Errors: apply.existing_row (primary key), drivers.constraint (unique key, not null).
    Status insert(Row row);

    /// Reads a tuple that is ordered as `schema` into this table's columns; others are NULL.
    /// Errors: drivers.no_table for a column that is not here.
    Result<Row> read(const model::TableSchema& schema, const model::Tuple& tuple) const;

    /// Whether a row was met. A change without an old image means the row of its new key.
    /// Whether the row is as the change's whole old image says; true without one.
    Result<bool> has_old_row(const model::TableSchema& schema, const model::Change& change);
    Result<bool> update(const model::TableSchema& schema, const model::Change& change);
    Result<bool> erase(const model::TableSchema& schema, const model::Change& change);
    /// A row that is exactly so.
    bool erase(const Row& row);

    /// The columns' values of each row in which none of them is NULL.
    std::vector<Row> project(const std::vector<std::string>& columns) const;

    bool contains(const Row& key) const { return rows_.contains(key); }

private:
    using Rows = std::multimap<Row, Row>;

    std::vector<size_t> places(const std::vector<std::string>& columns) const;
    Row key_of(const Row& row) const;
    Rows::iterator find(const model::TableSchema& schema, const model::Tuple& image);
    Status check_unique(const Row& row) const;

    std::string name() const { return target_.name.to_string(); }

    TargetTable target_;
    std::vector<size_t> key_;
    std::vector<std::vector<size_t>> unique_;
    Rows rows_;  ///< by primary key; without one by the whole row
};

}  // namespace qiao::drivers::model_db
