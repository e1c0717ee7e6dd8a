#pragma once

#include "qiao/common/async/backoff.h"
#include "qiao/common/async/event.h"
#include "qiao/common/async/stop.h"
#include "qiao/common/async/task.h"
#include "qiao/common/clock.h"
#include "qiao/common/error.h"
#include "qiao/common/rng.h"

#include <optional>

namespace qiao::agent {

/// What becomes of a flow that ended with an error: what waiting can mend is tried again after a
/// growing pause of at most a minute; rows and packets that were refused wait for an operator.
class FlowRetry {
public:
    FlowRetry(Executor& executor, Clock& clock, Rng& rng)
        : clock_(clock), rng_(rng), woken_(executor) {}

    /// Waits until the flow is to run again. False: stop was requested.
    Task<bool> after(Error error, StopSignal& stop);

    /// The flow works: what failed before is over.
    void worked();

    /// An operator says that the cause is mended.
    void now();

    const std::optional<Error>& error() const { return error_; }

    /// Failed in a row.
    uint32_t tries() const { return tries_; }

    /// Whether only now() makes it go on.
    bool needs_operator() const { return waiting_ && !at_; }

    bool waiting() const { return waiting_; }

    /// When the next try is; none: nothing waits, or for an operator.
    const std::optional<MonoTime>& next_try() const { return at_; }

private:
    Clock& clock_;
    Rng& rng_;
    Backoff backoff_{std::chrono::seconds(1), std::chrono::seconds(60)};
    std::optional<Error> error_;
    uint32_t tries_ = 0;
    bool waiting_ = false;
    bool asked_ = false;
    std::optional<MonoTime> at_;
    Event woken_;
};

}  // namespace qiao::agent
