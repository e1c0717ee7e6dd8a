#pragma once

#include "shapes.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace qiao::sim {

/// Looks at what the target holds after each of its commits: exactly the source's committed history
/// up to the checkpoint, every change once and in order. Source: rules 2, 17, 20
class Referee {
public:
    explicit Referee(World& world) : world_(world) {}

    /// After every turn. False: something is wrong, failure() says what.
    bool look();

    const std::string& failure() const { return failure_; }

    /// The target's database was put back: its checkpoint may be behind.
    void forget() {
        position_ = {};
        proven_.clear();
    }

    /// The source was put back: what is live at the target is of a history that is no more, until
    /// the target has said that it is in doubt.
    void forget_history();

    /// Columns that came with a value of which no log tells, until a comparison has seen them.
    ColumnSet doubtful_columns() const;

    void prove(const ColumnSet& columns) { proven_.insert(columns.begin(), columns.end()); }

    /// Somebody else has changed this row of the target; nothing is said of it any more, until an
    /// operator has mended it.
    void excuse(size_t table, Row key) { excused_.emplace(table, std::move(key)); }

    using Rows = std::set<std::pair<size_t, Row>>;

    const Rows& excused() const { return excused_; }

    /// They have been mended.
    void expect(const Rows& rows);

    /// Whether the target has everything that is committed.
    bool arrived();

    /// Changes that are laid aside at the target.
    size_t laid_aside() const { return world_.target_database.committed().errors.size(); }

private:
    void check();
    void check_origin(const model::SourcePosition& from, const model::SourcePosition& to);
    void check_table(size_t number, const drivers::TableState& state);
    void leave_out(size_t number, std::vector<Row>& rows) const;
    void keep_common(
        size_t number, const ServerTable& shape, std::vector<Row>& is, std::vector<Row>& should
    ) const;

    void fail(std::string why) { failure_ = failure_.empty() ? std::move(why) : failure_; }

    World& world_;
    uint64_t commits_ = 0;
    bool one_commit_ = false;  ///< since the last look
    bool jumps_ = false;       ///< the position, as soon as it moves
    model::SourcePosition position_;
    Rows excused_;
    ColumnSet proven_;
    uint64_t epoch_ = 0;
    bool source_went_back_ = false;  ///< once: a new epoch may begin behind the checkpoint
    std::set<size_t> of_old_history_;
    std::string failure_;
};

}  // namespace qiao::sim
