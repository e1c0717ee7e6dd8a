#pragma once

#include "qiao/cli/command.h"
#include "qiao/common/async/event_loop.h"
#include "qiao/common/async/scope.h"
#include "qiao/engine/first_load.h"

#include <functional>
#include <string>

namespace qiao::cli {

/// What a carried load is doing now.
struct LoadMoment {
    std::string phase;
    uint64_t rows = 0, rows_all = 0;
    uint64_t bytes = 0, bytes_all = 0;
};

/// Shows how an export or import stands: a line that redraws itself on a terminal, a plain line
/// every few seconds elsewhere.
class LoadProgress {
public:
    LoadProgress(EventLoop& loop, const Console& console, std::function<LoadMoment()> look);

    void start() { scope_.spawn(show()); }

    /// Ends the line. Awaited before what is looked at goes.
    Task<void> finish();

private:
    Task<void> show();
    std::string line();

    EventLoop& loop_;
    const Console& console_;
    std::function<LoadMoment()> look_;
    MonoTime last_;
    LoadMoment before_;
    double rate_ = 0;  ///< bytes a second
    bool drawn_ = false;
    TaskScope scope_;
};

}  // namespace qiao::cli
