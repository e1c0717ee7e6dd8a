#pragma once

#include "qiao/apply/internal/fold.h"

#include <map>
#include <memory>

namespace qiao::apply {

/// A change that is due, with its table.
struct Work {
    const model::Change* change = nullptr;
    const BoundTable* table = nullptr;
    size_t transaction = 0;  ///< its place in the unit
    /// Truncate only: those of its tables whose changes are due.
    std::vector<const BoundTable*> truncated;
    bool parked = false;   ///< laid aside until its table goes on
    bool of_load = false;  ///< rows of a load do not wait for each other
};

/// Turns changes in the source's order into calls to the target. Plain tables are folded to sets
/// and may move past other tables; all else keeps its order, consecutive changes of one kind in
/// one call. A key change, a TRUNCATE and a table that watches others are barriers. Source: rules
/// 19
class Plan {
public:
    struct Options {
        bool fold = true;
        size_t set_rows_min = 8;
    };

    explicit Plan(Options options) : options_(options) {}

    void add(const Work& work);
    /// Once, at the end. The steps point into this plan and into the changes.
    const std::vector<Step>& finish();

private:
    void add_in_order(const Work& work);
    void add_tolerant(const model::Change& change, const BoundTable& table);
    void add_truncate(const Work& work);
    void flush(const model::TableName& table);
    void flush_all();
    /// The open run if it is of this kind, else a new one.
    Step& run(
        Step::Kind kind, const BoundTable& table, model::Op op, bool may_miss, std::string pattern
    );
    void close_run();

    Options options_;
    ChangeArena arena_;
    std::map<model::TableName, TableFold> folds_;
    std::vector<Step> steps_;
    bool run_open_ = false;  ///< the last step may take more
    std::string run_pattern_;
    std::unordered_map<std::string, bool> upserted_;  ///< keys in the open run
};

}  // namespace qiao::apply
