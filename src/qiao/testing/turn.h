#pragma once

#include "qiao/common/async/executor.h"

namespace qiao::testing {

/// Awaited: lets everything else that is ready run first, as what takes time does.
inline auto turn(Executor& executor) {
    struct Awaiter {
        Executor& executor;

        bool await_ready() const noexcept { return false; }

        void await_suspend(std::coroutine_handle<> waiter) { executor.post(waiter); }

        void await_resume() const noexcept {}
    };

    return Awaiter{executor};
}

}  // namespace qiao::testing
