#pragma once

#include "qiao/common/async/event.h"
#include "qiao/drivers/target_session.h"

#include <map>
#include <set>

namespace qiao::apply {

/// What becomes of a change, by the state of its table. Source: rules 20
enum class Due : uint8_t {
    Apply,
    Contained,  ///< a load has it, or will have it
    AfterLoad,  ///< must wait until the load under way is committed
    Park,       ///< the table is paused: laid aside in order
    OutOfStep,  ///< the table is resynchronised later: the change is left out
};

/// The committed states of a stream's tables, and the loads that this process has begun.
class TableStates {
public:
    explicit TableStates(Executor& executor) : changed_(executor) {}

    void load(std::vector<drivers::TableState> states);
    void set(drivers::TableState state);
    const drivers::TableState* find(const model::TableName& table) const;
    std::vector<drivers::TableState> all() const;
    /// Unproven, paused, or in need of a resync.
    std::vector<drivers::TableState> doubtful() const;

    /// A table without a state belongs to the flow as it stands: its changes are applied.
    Due due(const model::TableName& table, const model::SourcePosition& commit) const;
    /// True while some table is not simply live, or was joined after `position`.
    bool need_looking(const model::SourcePosition& position) const;

    /// Tables whose load is about to begin, before its snapshot is taken: changes of them wait,
    /// because some of those that come now lie behind that snapshot. Until begin_load() or adopt().
    void expect_loads(const std::vector<model::TableName>& tables);
    /// No load is about to begin. Nothing waits for one that broke off, either: what comes now lies
    /// before the snapshot of the next.
    void expect_none();
    /// A table is followed from where its rows, which are there already, are known to be from.
    void adopt(const model::TableName& table);

    bool expects_load(const model::TableName& table) const { return expected_.contains(table); }

    /// One load session of a table by this process. Parts may be written at the same time.
    struct Load {
        uint32_t generation = 0;
        std::set<uint32_t> begun;
        std::set<uint32_t> done;
    };

    /// The load under way; none after it was finished or given up.
    Load* find_load(const model::TableName& table);
    Load& begin_load(const model::TableName& table, uint32_t generation);
    void end_load(const model::TableName& table);
    /// All that are under way are void.
    void end_loads();

    /// Passes when some state changes.
    Event& changed() { return changed_; }

private:
    /// Tables that were joined at one position; a load joins many.
    struct Join {
        model::SourcePosition at;
        size_t tables = 0;
    };

    void note_broken_off();
    bool is_broken_off(const drivers::TableState& state) const;
    void put(drivers::TableState state);
    void count(const drivers::TableState& state);
    void discount(const drivers::TableState& state);

    std::map<model::TableName, drivers::TableState> states_;
    std::vector<Join> joins_;  ///< of those that are simply live
    size_t restless_ = 0;      ///< the others
    std::map<model::TableName, Load> loads_;
    std::set<model::TableName> expected_;
    /// Of those that stand at Loading, by generation: the next one may be another process's.
    std::map<model::TableName, uint32_t> broken_off_;
    Event changed_;
};

}  // namespace qiao::apply
