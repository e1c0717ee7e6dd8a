#pragma once

#include "qiao/agent/comparison.h"
#include "qiao/cli/command.h"
#include "qiao/common/async/event_loop.h"
#include "qiao/common/async/scope.h"

#include <functional>
#include <optional>

namespace qiao::cli {

/// Shows how a comparison stands: a line that redraws itself on a terminal, a plain one every few
/// seconds elsewhere.
class VerifyProgress {
public:
    using Look = std::function<std::optional<agent::ComparisonProgress>()>;

    VerifyProgress(EventLoop& loop, const Console& console)
        : loop_(loop), console_(console), scope_(loop) {}

    /// Until finish(), which is awaited.
    void start(Look look);
    Task<void> finish();

private:
    Task<void> show();
    std::string line(const agent::ComparisonProgress& progress) const;

    EventLoop& loop_;
    const Console& console_;
    Look look_;
    bool drawn_ = false;
    TaskScope scope_;
};

}  // namespace qiao::cli
