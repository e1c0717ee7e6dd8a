#pragma once

#include <coroutine>
#include <functional>

namespace qiao {

/// Where coroutines run: one thread, one queue. A pipeline belongs to one executor, so its code
/// has no mutex. The simulator has its own. Source: rules 30
class Executor {
public:
    virtual ~Executor() = default;

    /// Resumes `coroutine` later, in order. Called on the executor's own thread.
    virtual void post(std::coroutine_handle<> coroutine) = 0;

    /// Runs `work` on a thread for blocking calls, then `done` on the executor's thread. The two
    /// must not share anything but what `work` owns. The simulator runs both at once, in its order.
    virtual void run_blocking(std::function<void()> work, std::function<void()> done) = 0;
};

}  // namespace qiao
