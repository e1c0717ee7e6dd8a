#include "qiao/common/async/scope.h"

namespace qiao {

/// The frame that keeps a spawned task alive and destroys itself at the end.
struct TaskScope::Runner {
    struct promise_type {
        Runner get_return_object() {
            return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }

        std::suspend_always initial_suspend() noexcept { return {}; }

        std::suspend_never final_suspend() noexcept { return {}; }

        void return_void() {}

        [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }
    };

    std::coroutine_handle<> handle;
};

TaskScope::Runner TaskScope::run(TaskScope& scope, Task<void> task) {
    {
        // The task's frame goes before the scope is told, so that nothing of it outlives join().
        Task<void> owned = std::move(task);
        co_await std::move(owned);
    }
    if (--scope.running_ == 0) {
        scope.idle_.set();
    }
}

void TaskScope::spawn(Task<void> task) {
    ++running_;
    idle_.reset();
    executor_.post(run(*this, std::move(task)).handle);
}

Task<void> TaskScope::join() {
    while (running_ != 0) {
        co_await idle_.wait();
    }
}

}  // namespace qiao
