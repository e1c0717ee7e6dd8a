#pragma once

#include "qiao/common/async/executor.h"
#include "qiao/common/async/stop.h"
#include "qiao/common/async/task.h"
#include "qiao/common/clock.h"
#include "qiao/common/result.h"
#include "qiao/link/token_bucket.h"

#include <functional>

namespace qiao::engine {

/// The rate of one flow, shared by its log and its load parts. The link has a rate of its own.
/// Spec: R-77
class Pacer {
public:
    Pacer(Executor& executor, Clock& clock)
        : executor_(executor), clock_(clock), bucket_(0, clock.now()) {}

    /// 0: no limit.
    void set_rate(uint64_t bytes_per_second) { bucket_.set_rate(bytes_per_second, clock_.now()); }

    uint64_t rate() const { return bucket_.rate(); }

    /// Waits until `bytes` may be sent, or `over` says that nothing is any more.
    /// Errors: common.cancelled.
    Task<Status> earn(uint64_t bytes, StopSignal& stop, std::function<bool()> over = {});

private:
    Executor& executor_;
    Clock& clock_;
    link::TokenBucket bucket_;
};

}  // namespace qiao::engine
