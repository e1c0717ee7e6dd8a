#pragma once

#include "qiao/common/async/executor.h"
#include "qiao/common/async/task.h"
#include "qiao/common/clock.h"
#include "qiao/common/rng.h"

#include <deque>
#include <map>
#include <random>

namespace qiao::testing {

/// Executor, clock and chance that a test drives by hand: nothing happens but in run(), and when
/// nothing is ready the clock jumps to the next timer. The seed of the simulator's world.
class ManualWorld final : public Executor, public Clock, public Rng {
public:
    explicit ManualWorld(uint64_t seed = 1) : random_(seed) {}

    /// Runs until nothing is ready and no timer is left.
    void run() {
        while (step()) {
        }
    }

    /// Runs `task` to its end; asserts that it comes to one.
    template <class T>
    T run(Task<T> task) {
        std::optional<T> result;
        start(keep(std::move(task), result));
        while (!result && step()) {
        }
        QIAO_ASSERT(result.has_value());
        return std::move(*result);
    }

    void run(Task<void> task) {
        std::optional<bool> done;
        start(keep_void(std::move(task), done));
        while (!done && step()) {
        }
        QIAO_ASSERT(done.has_value());
    }

    /// One coroutine turn, or one jump of the clock. False: nothing left to do.
    bool step();

    /// Timers that came to their time.
    uint64_t timers_fired() const { return timers_fired_; }

    void post(std::coroutine_handle<> coroutine) override { ready_.push_back(coroutine); }

    void run_blocking(std::function<void()> work, std::function<void()> done) override;

    MonoTime now() const override { return now_; }

    WallTime wall_now() const override {
        return {(now_.time_since_epoch() + wall_ahead_).count() / 1000};
    }

    /// As somebody sets the wall clock; timers do not see it.
    void jump_wall(Duration by) { wall_ahead_ += by; }

    std::unique_ptr<Timer> make_timer() override;
    void fill(MutableByteView bytes) override;

private:
    class ManualTimer;
    using Timers = std::multimap<MonoTime, std::function<void()>>;

    template <class T>
    static Task<void> keep(Task<T> task, std::optional<T>& result) {
        result.emplace(co_await std::move(task));
    }

    static Task<void> keep_void(Task<void> task, std::optional<bool>& done) {
        co_await std::move(task);
        done = true;
    }

    void start(Task<void> task);

    std::deque<std::coroutine_handle<>> ready_;
    Timers timers_;
    MonoTime now_{std::chrono::hours(1)};
    Duration wall_ahead_{0};
    uint64_t timers_fired_ = 0;
    std::mt19937_64 random_;
};

}  // namespace qiao::testing
