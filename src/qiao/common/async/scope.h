#pragma once

#include "qiao/common/async/event.h"
#include "qiao/common/async/stop.h"
#include "qiao/common/async/task.h"

#include <cstddef>

namespace qiao {

/// Owns coroutines that run beside each other, so that nothing runs without someone who can stop
/// it. Stopping a service has two problems: no new work may start, and what runs must end before
/// what it uses goes away. request_stop() solves the first, `co_await join()` the second.
///
/// Declare it LAST in the owner, so that it is destroyed first; the destructor asserts that it is
/// empty. Ownership of time: the owner calls request_stop() and awaits join() before it goes.
class TaskScope {
public:
    explicit TaskScope(Executor& executor) : executor_(executor), idle_(executor) { idle_.set(); }

    TaskScope(const TaskScope&) = delete;
    TaskScope& operator=(const TaskScope&) = delete;

    ~TaskScope() { QIAO_ASSERT(running_ == 0); }

    /// Starts `task` at the executor's next turn.
    void spawn(Task<void> task);

    /// What the tasks of this scope hand to their waits.
    StopSignal& stop() { return stop_; }

    void request_stop() { stop_.request(); }

    /// Waits until every task has ended. Tasks may still be spawned meanwhile.
    Task<void> join();

    size_t running() const { return running_; }

private:
    struct Runner;
    static Runner run(TaskScope& scope, Task<void> task);

    Executor& executor_;
    Event idle_;
    StopSignal stop_;
    size_t running_ = 0;
};

}  // namespace qiao
