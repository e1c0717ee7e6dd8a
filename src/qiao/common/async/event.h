#pragma once

#include "qiao/common/assert.h"
#include "qiao/common/async/executor.h"

#include <coroutine>
#include <utility>
#include <vector>

namespace qiao {

/// A condition that coroutines of one executor wait for: set() lets all waiters through, and
/// whoever waits later, until reset(). Waiters are resumed by the executor, never inside set().
class Event {
public:
    explicit Event(Executor& executor) : executor_(executor) {}

    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;

    ~Event() { QIAO_ASSERT(waiters_.empty()); }

    bool is_set() const { return set_; }

    void set() {
        set_ = true;
        wake();
    }

    void reset() { set_ = false; }

    /// Lets the present waiters through without setting: they must look at the state again.
    void pulse() { wake(); }

    auto wait() {
        struct Awaiter {
            Event& event;

            bool await_ready() const noexcept { return event.set_; }

            void await_suspend(std::coroutine_handle<> waiter) { event.waiters_.push_back(waiter); }

            void await_resume() const noexcept {}
        };

        return Awaiter{*this};
    }

private:
    void wake() {
        for (const auto waiter : std::exchange(waiters_, {})) {
            executor_.post(waiter);
        }
    }

    Executor& executor_;
    std::vector<std::coroutine_handle<>> waiters_;
    bool set_ = false;
};

}  // namespace qiao
