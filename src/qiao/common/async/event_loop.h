#pragma once

#include "qiao/common/async/executor.h"
#include "qiao/common/async/task.h"
#include "qiao/common/clock.h"
#include "qiao/common/poller.h"
#include "qiao/common/transport.h"

#include <functional>
#include <initializer_list>
#include <memory>

namespace qiao {

/// The production Executor, Clock, Poller and Transport: one thread over Boost.Asio, and a few
/// threads for blocking calls. The only place that includes Asio, with asio_transport.cpp.
class EventLoop final : public Executor, public Clock, public Poller {
public:
    EventLoop();
    ~EventLoop() override;

    /// Runs the calling thread until `task` has ended, and gives its result.
    template <class T>
    T run(Task<T> task) {
        std::optional<T> result;
        run_until_done(keep(std::move(task), result));
        return std::move(*result);
    }

    void run(Task<void> task) { run_until_done(std::move(task)); }

    /// Calls `action` on the loop's thread at each of these signals, instead of their default.
    void on_signals(std::initializer_list<int> signals, std::function<void(int)> action);

    Transport& transport();

    void post(std::coroutine_handle<> coroutine) override;
    void run_blocking(std::function<void()> work, std::function<void()> done) override;
    MonoTime now() const override;
    WallTime wall_now() const override;
    std::unique_ptr<Timer> make_timer() override;
    std::unique_ptr<Watch> watch(int fd) override;

    struct Impl;

private:
    template <class T>
    static Task<void> keep(Task<T> task, std::optional<T>& result) {
        result.emplace(co_await std::move(task));
    }

    void run_until_done(Task<void> task);

    std::unique_ptr<Impl> impl_;
};

}  // namespace qiao
