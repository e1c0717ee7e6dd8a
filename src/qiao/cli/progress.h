#pragma once

#include "qiao/agent/sync_run.h"
#include "qiao/cli/command.h"
#include "qiao/common/async/scope.h"

#include <string>

namespace qiao::cli {

/// Shows how a run stands while it goes on: a line that redraws itself on a terminal, a plain line
/// every few seconds elsewhere. Rows, bytes, rate and time left.
class Progress {
public:
    Progress(EventLoop& loop, const Console& console, const agent::SyncRun& run);

    void start();
    /// Ends the line. Awaited before the run goes.
    Task<void> finish();

private:
    Task<void> show();
    std::string line();

    EventLoop& loop_;
    const Console& console_;
    const agent::SyncRun& run_;
    MonoTime started_, last_;
    uint64_t last_rows_ = 0;
    double rate_ = 0;
    bool drawn_ = false;
    TaskScope scope_;
};

}  // namespace qiao::cli
