#pragma once

#include "qiao/common/assert.h"

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

namespace qiao {

template <class T = void>
class Task;

namespace internal {

struct TaskPromiseBase {
    std::coroutine_handle<> waiter = std::noop_coroutine();

    std::suspend_always initial_suspend() noexcept { return {}; }

    struct Final {
        bool await_ready() const noexcept { return false; }

        template <class Promise>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) noexcept {
            return self.promise().waiter;
        }

        void await_resume() const noexcept {}
    };

    Final final_suspend() noexcept { return {}; }

    /// Foreign exceptions are caught in the one file that calls the library; one here is a bug.
    [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }
};

template <class T>
struct TaskPromise : TaskPromiseBase {
    std::optional<T> value;
    Task<T> get_return_object();

    template <class U>
    void return_value(U&& result) {
        value.emplace(std::forward<U>(result));
    }

    T take() { return std::move(*value); }
};

template <>
struct TaskPromise<void> : TaskPromiseBase {
    Task<void> get_return_object();

    void return_void() {}

    void take() {}
};

}  // namespace internal

/// A coroutine that starts when awaited and gives its result to the one who awaits it.
///
/// Owned by exactly one place: destroying a Task that was not finished destroys its frame, which is
/// only allowed before it was awaited. To run something beside the current coroutine, give the Task
/// to a TaskScope. Parameters of a coroutine are taken by value, or by reference to something that
/// outlives the await (a member of the awaiting object).
template <class T>
class [[nodiscard]] Task {
public:
    using promise_type = internal::TaskPromise<T>;
    using Handle = std::coroutine_handle<promise_type>;

    explicit Task(Handle handle) : handle_(handle) {}

    Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}

    Task& operator=(Task&&) = delete;
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;

    ~Task() {
        if (handle_) {
            handle_.destroy();
        }
    }

    auto operator co_await() && noexcept {
        struct Awaiter {
            Handle handle;

            bool await_ready() const noexcept { return false; }

            std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) noexcept {
                handle.promise().waiter = waiter;
                return handle;
            }

            T await_resume() { return handle.promise().take(); }
        };

        QIAO_ASSERT(handle_ && !handle_.done());
        return Awaiter{handle_};
    }

private:
    Handle handle_;
};

namespace internal {

template <class T>
Task<T> TaskPromise<T>::get_return_object() {
    return Task<T>(Task<T>::Handle::from_promise(*this));
}

inline Task<void> TaskPromise<void>::get_return_object() {
    return Task<void>(Task<void>::Handle::from_promise(*this));
}

}  // namespace internal
}  // namespace qiao
