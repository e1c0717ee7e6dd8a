#pragma once

#include "qiao/apply/internal/step.h"

#include <unordered_map>

namespace qiao::apply {

/// The net effect of changes of one plain table, each key once, so that they can be done as sets:
/// deletes, then updates, then inserts. Only for tables with a fold key. Source: rules 19
class TableFold {
public:
    TableFold(const BoundTable& table, ChangeArena& arena, size_t set_rows_min)
        : table_(table), schema_(table.schema->id()), arena_(arena), set_rows_min_(set_rows_min) {}

    enum class Added : uint8_t {
        Folded,
        FlushFirst,  ///< what is inside must be done before; then add again
        Alone,       ///< flush, then do this change by itself, in order
    };

    Added add(const model::Change& change);

    /// Appends what is inside as steps and is empty again.
    void flush(std::vector<Step>& out);

    const BoundTable& table() const { return table_; }

private:
    enum class Effect : uint8_t { Nothing, Insert, Update, Delete, Replace };

    /// What has become of one key since the last flush.
    struct Slot {
        Effect effect = Effect::Nothing;
        bool may_miss = false;  ///< the row to delete or replace need not be there
        model::OldImage old_image = model::OldImage::Absent;
        model::Tuple old_row;
        model::Tuple new_row;
        const model::Change* only = nullptr;  ///< the one change that made it, as it came
    };

    const model::Change* with_old_key(const model::Change& change);
    bool first(Slot& slot, const model::Change& change) const;
    bool combine(Slot& slot, const model::Change& change);
    void set_old_image(Slot& slot, const model::Change& change) const;
    const model::Change* as_change(const Slot& slot, model::Op op);

    const BoundTable& table_;
    model::SchemaId schema_;
    ChangeArena& arena_;
    size_t set_rows_min_;
    std::vector<Slot> slots_;  ///< in the order of their first change
    std::unordered_map<std::string, size_t> by_key_;
    bool saw_text_ = false;
    bool saw_binary_ = false;
};

}  // namespace qiao::apply
