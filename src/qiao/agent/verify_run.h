#pragma once

#include "qiao/agent/comparison.h"
#include "qiao/agent/sync_run.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qiao::agent {

struct VerifyRunOptions {
    /// The two databases and, for a repair, the sync between them. `tables` are patterns.
    SyncOptions sync;
    ComparisonOptions comparison;
};

/// `qiao verify` of two databases that this process can reach. If a sync follows between them, the
/// comparison waits for it; a repair continues the sync for as long as it takes, with every table
/// that the sync has. Spec
class VerifyRun {
public:
    VerifyRun(EventLoop& loop, Storage& storage, Rng& rng, VerifyRunOptions options);
    ~VerifyRun();

    /// Once. Errors: those that leave nothing to compare; all others stand in the report.
    Task<Result<ComparisonReport>> run();

    /// Ends run() in order, from a signal.
    void stop() { scope_.request_stop(); }

    /// Null before it has begun.
    const Comparison* comparison() const { return comparison_.get(); }

private:
    Task<Status> open();
    Task<Status> look_for_sync();
    Task<Result<std::vector<verify::TablePair>>> pairs();
    Task<Status> continue_sync();
    Task<void> run_sync();
    Task<Status> wait_applied(model::SourcePosition position, Deadline deadline, StopSignal& stop);
    verify::Flow flow();
    Comparison::Repair repair();
    Comparison::Prove prove();
    Task<Status> prove_table(
        model::TableName table, model::SourcePosition position, StopSignal& stop
    );

    EventLoop& loop_;
    Storage& storage_;
    Rng& rng_;
    VerifyRunOptions options_;
    StreamId stream_;

    std::unique_ptr<capture::DataSource> source_;
    Target target_;
    std::unique_ptr<drivers::TargetSession> session_;
    std::unique_ptr<drivers::TableReader> source_reader_, target_reader_;
    std::vector<drivers::TableState> states_;  ///< of the sync's tables; none: there is no sync
    bool followed_ = false;                    ///< by this process or another one
    std::unique_ptr<SyncRun> sync_;
    std::optional<Status> sync_ended_;
    std::unique_ptr<verify::LocalSide> source_side_, target_side_;
    std::unique_ptr<Comparison> comparison_;
    TaskScope scope_;
};

}  // namespace qiao::agent
