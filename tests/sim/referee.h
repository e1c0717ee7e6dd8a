#pragma once

#include "world.h"

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
    void forget() { position_ = {}; }

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
    void check_table(size_t number, const drivers::TableState& state);
    void leave_out(size_t number, std::vector<Row>& rows) const;

    void fail(std::string why) { failure_ = failure_.empty() ? std::move(why) : failure_; }

    World& world_;
    uint64_t commits_ = 0;
    model::SourcePosition position_;
    Rows excused_;
    std::string failure_;
};

}  // namespace qiao::sim
