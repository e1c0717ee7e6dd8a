#include "qiao/testing/manual_world.h"

namespace qiao::testing {

namespace {

struct Root {
    struct promise_type {
        Root get_return_object() {
            return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }

        std::suspend_always initial_suspend() noexcept { return {}; }

        std::suspend_never final_suspend() noexcept { return {}; }

        void return_void() {}

        [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }
    };

    std::coroutine_handle<promise_type> handle;

    static Root of(Task<void> task) { co_await std::move(task); }
};

}  // namespace

class ManualWorld::ManualTimer final : public Clock::Timer {
public:
    explicit ManualTimer(Timers& timers) : timers_(timers), place_(timers.end()) {}

    ~ManualTimer() override { ManualTimer::cancel(); }

    void start(MonoTime at, std::function<void()> fire) override {
        cancel();
        if (at == MonoTime::max()) {
            return;
        }
        place_ = timers_.emplace(at, [this, fire = std::move(fire)] {
            place_ = timers_.end();
            fire();
        });
    }

    void cancel() override {
        if (place_ != timers_.end()) {
            timers_.erase(place_);
            place_ = timers_.end();
        }
    }

private:
    Timers& timers_;
    Timers::iterator place_;
};

bool ManualWorld::step() {
    if (!ready_.empty()) {
        const auto next = ready_.front();
        ready_.pop_front();
        next.resume();
        return true;
    }
    if (timers_.empty()) {
        return false;
    }
    const auto first = timers_.begin();
    now_ = std::max(now_, first->first);
    const auto fire = std::move(first->second);
    timers_.erase(first);
    ++timers_fired_;
    fire();
    return true;
}

void ManualWorld::run_blocking(std::function<void()> work, std::function<void()> done) {
    work();
    done();
}

std::unique_ptr<Clock::Timer> ManualWorld::make_timer() {
    return std::make_unique<ManualTimer>(timers_);
}

void ManualWorld::fill(MutableByteView bytes) {
    for (auto& byte : bytes) {
        byte = static_cast<std::byte>(random_());
    }
}

void ManualWorld::start(Task<void> task) { post(Root::of(std::move(task)).handle); }

}  // namespace qiao::testing
