#include "qiao/common/async/pace.h"

#include "qiao/common/async/sleep.h"

#include <algorithm>

namespace qiao {

Task<Status> Pace::pass(uint64_t rows, StopSignal& stop) {
    if (free()) {
        co_return Status();
    }
    // Time that was not used is not saved up: after a pause the load must not jump.
    next_ = std::max(next_, clock_.now());
    const auto start = next_;
    const auto seconds = static_cast<double>(rows) / static_cast<double>(rows_per_second_);
    next_ += std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
    co_return co_await sleep_until(executor_, clock_, start, stop);
}

}  // namespace qiao
