#pragma once

#include "qiao/apply/intervention.h"

#include "world.h"

#include <optional>
#include <string>

namespace qiao::sim {

/// What a person does at the two nodes: compares, repairs, and replays what was laid aside. Each is
/// begun, and looked after from turn to turn; whatever breaks it off is no failure of its own.
class Operator {
public:
    explicit Operator(World& world) : world_(world), scope_(world.clock) {}

    ~Operator();

    struct Wish {
        bool repair = false;
        bool reopen = false;  ///< begin a new epoch first
    };

    /// `qiao verify` at the source's agent, unless one is under way.
    void compare(Wish wish);

    /// `qiao errors --replay` at the target, unless one is under way. What is refused again is
    /// skipped if that is wished: the rows are compared and repaired then.
    void replay(bool skips);

    /// `qiao tables --pause` and `--resync`, of this table.
    void pause(model::TableName table);
    void resync(model::TableName table);

    /// `qiao tables --resume` of every table that is paused.
    void resume();

    /// The outcome of a comparison that has ended since the last call; none: there is none, or it
    /// came to no end.
    std::optional<verify::Verdict> ended();

    bool comparing() const { return !id_.empty(); }

    /// What he was told that is not so.
    const std::string& failure() const { return failure_; }

    /// Why the last comparison or replay came to no end.
    const std::string& trouble() const { return trouble_; }

    struct Counts {
        uint64_t comparisons = 0;  ///< that came to an end
        uint64_t repairs = 0;      ///< of tables
        uint64_t replayed = 0;     ///< changes
        uint64_t skipped = 0;      ///< changes
        uint64_t resumed = 0;      ///< tables
    };

    const Counts& counts() const { return counts_; }

private:
    /// One thing at a time, which ends by itself.
    void begin(Task<Status> task);
    Task<void> run(Task<Status> task);
    Task<Status> replay_all(bool skips);
    Task<Status> look_at_errors(apply::Intervention& desk);
    Task<Status> resume_all();
    Task<Status> pause_one(model::TableName table);
    Task<Status> resync_one(model::TableName table);
    apply::ReplayOptions replay_options() const;

    World& world_;
    std::string id_;  ///< of the comparison under way
    bool busy_ = false;
    std::string trouble_, failure_;
    Counts counts_;
    StopSignal stop_;
    TaskScope scope_;
};

}  // namespace qiao::sim
