#pragma once

#include "qiao/model/change.h"
#include "qiao/verify/options.h"

#include <deque>
#include <vector>

namespace qiao::verify {

/// Changes that make confirmed differences go away, with the row images that they point into. Goes
/// out as one source transaction of ordinary packets. Moving it leaves the images where they are.
struct RepairPlan {
    RepairPlan() = default;
    RepairPlan(RepairPlan&&) noexcept = default;
    RepairPlan& operator=(RepairPlan&&) noexcept = default;
    RepairPlan(const RepairPlan&) = delete;
    RepairPlan& operator=(const RepairPlan&) = delete;
    ~RepairPlan() = default;

    /// Where the rows were read: the plan's place in the stream is behind every transaction that
    /// commits before it and before every other one. See RepairPlacement.
    model::SourcePosition position;
    model::TableSchema schema;  ///< names the source's table; without generated columns
    /// Deletes first. With a key they are tolerant: a whole row put in the place of whatever the
    /// target has, or a delete that may meet nothing. Without one they insert copies; where copies
    /// must go, they empty the table and insert all its rows.
    std::vector<model::Change> changes;
    std::vector<Bytes> images;

    /// Rows that had no room in this plan; read them in another one.
    RepairList rest;
    /// Rows that cannot be mended from the source, because their key was withheld.
    uint64_t left_out = 0;
};

struct RepairOptions {
    size_t bytes_max = size_t{32} << 20U;  ///< of the images of one plan
    /// Of the rows of a table without a key, when all are sent again.
    size_t table_bytes_max = size_t{64} << 20U;
    size_t keys_of_one_read = 500;
};

/// Reads the rows of `list` in one snapshot of the source and makes a plan of them.
///
/// The plan is exact if the reader's snapshot shows exactly the transactions that commit before its
/// position (an exported snapshot, rules 13), and if the capture was held from before the snapshot
/// until the plan was handed to RepairPlacement. With a snapshot whose position is only a bound
/// from above, a repair can put back a row that a transaction in the act of committing has just
/// changed; verifying again finds it. docs/adr/0012-verification.md
///
/// Errors: verify.repair_too_large for a list that is not complete, or a table without a key that
/// is too large to be sent again; the database's.
/// Spec: R-35. Source: rules 13, 27
Task<Result<RepairPlan>> read_repair(
    drivers::TableReader& source, RepairList list, RepairOptions options, StopSignal& stop
);

/// Puts repairs at their place in the stream: owned by the capture's pipeline, asked between two
/// transactions.
class RepairPlacement {
public:
    void add(RepairPlan plan) { waiting_.push_back(std::move(plan)); }

    bool empty() const { return waiting_.empty(); }

    /// Those that go out before the transaction that commits at `commit`.
    std::vector<RepairPlan> before(const model::SourcePosition& commit);

    /// Those that go out now that everything up to `position` has been delivered (a heartbeat, so
    /// that repairs of an idle source do not wait).
    std::vector<RepairPlan> delivered(const model::SourcePosition& position) {
        return before(position);
    }

    /// The source was failed over or restored: positions of the old history have no place in the
    /// new one. What waits is void; verify again.
    void forget() { waiting_.clear(); }

private:
    std::deque<RepairPlan> waiting_;
};

}  // namespace qiao::verify
