#pragma once

#include "qiao/common/clock.h"
#include "qiao/drivers/target_session.h"
#include "qiao/model/change.h"
#include "qiao/model/mapping.h"

#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

namespace qiao::apply {

/// A table of the stream matched with the table of the target: what may be done to it, and how.
struct BoundTable {
    std::shared_ptr<const model::TableSchema> schema;   ///< under the source's names
    std::shared_ptr<const model::TableSchema> written;  ///< the same under the target's
    drivers::TargetTable target;
    /// What names a row, as places in the source's rows: the target's primary key where the source
    /// always tells it, else the source's identity. Empty: only whole rows, which are never named.
    std::vector<size_t> key;

    /// The target's primary key, when changes of it may be told apart by bytes and done in any
    /// order; empty: keep the source's order.
    std::vector<size_t> fold_key;
    bool has_key = false;       ///< the source's identity meets at most one row of the target
    bool key_is_bytes = false;  ///< key_bytes_are_identity() for each column of `key`
    /// A trigger, rule or policy may look at other tables: nothing may pass by its changes.
    bool watches_others = false;
    bool sets_of_inserts = false;  ///< a run of inserts may be one statement
    bool replaceable = false;      ///< a row of the source fills every column of the target
    /// Not matched with a table of the target: its changes can only be laid aside.
    bool apart = false;
};

/// Definitions by id, and what the target's own catalogue says of their tables. Source: rules 6, 19
class Catalogue {
public:
    /// @param names  from the source's to the target's; outlives the catalogue
    Catalogue(Clock& clock, const model::Mapping& names) : clock_(clock), names_(names) {}

    /// A definition. Whether the table ever has it is told by use(): the source may undo what gave
    /// it this shape.
    void add(model::TableSchema schema);
    void clear();

    bool knows(const model::SchemaId& id) const { return schemas_.contains(id); }

    /// Empty: unknown.
    std::shared_ptr<const model::TableSchema> schema(const model::SchemaId& id) const;

    /// The newest of the table's earlier shapes that the target still has as it is; else the one
    /// before this. None: it is the first.
    std::shared_ptr<const model::TableSchema> before(
        const model::SchemaId& id, const drivers::TargetTable& target
    ) const;
    /// The table has this shape from here on, as a change that counts names it. True: it had
    /// another one last.
    bool use(const model::SchemaId& id);

    bool knows(const model::TableName& table) const { return shapes_.contains(table); }

    /// Asks the target about a table, unless it was asked lately. A column that its newest shape
    /// does not have need not be there. Errors: apply.unknown_schema, apply.columns, drivers.*
    Task<Status> bind(drivers::TargetSession& session, model::SchemaId id);
    /// Without the target. Errors: apply.unknown_schema.
    Status bind_apart(const model::SchemaId& id);

    /// Bound before.
    const BoundTable& table(const model::SchemaId& id) const { return bound_.at(id); }

    /// What was said may be stale: bind() asks again. Voids every BoundTable.
    void forget();
    void forget_older_than(Duration age);

private:
    model::TableSchema without_lost_columns(
        model::TableSchema written,
        const model::TableSchema& shape,
        const drivers::TargetTable& target
    ) const;

    Clock& clock_;
    const model::Mapping& names_;
    std::unordered_map<model::SchemaId, std::shared_ptr<const model::TableSchema>> schemas_;
    std::unordered_map<model::SchemaId, BoundTable> bound_;
    std::map<model::TableName, std::vector<model::SchemaId>> shapes_;  ///< newest last
    MonoTime asked_at_{};
};

}  // namespace qiao::apply
