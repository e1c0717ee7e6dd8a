#include "qiao/common/async/event_loop.h"

#include "qiao/common/async/internal/event_loop_impl.h"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <csignal>
#include <fcntl.h>

namespace qiao {
namespace {

using boost::system::error_code;

std::chrono::steady_clock::time_point to_steady(MonoTime at) {
    return std::chrono::steady_clock::time_point(
        std::chrono::duration_cast<std::chrono::steady_clock::duration>(at.time_since_epoch())
    );
}

class AsioTimer final : public Clock::Timer {
public:
    explicit AsioTimer(asio::io_context& io) : timer_(io), alive_(std::make_shared<int>()) {}

    ~AsioTimer() override { timer_.cancel(); }

    void start(MonoTime at, std::function<void()> fire) override {
        alive_ = std::make_shared<int>();
        timer_.expires_at(to_steady(at));
        timer_.async_wait([fire = std::move(fire),
                           alive = std::weak_ptr<int>(alive_)](error_code failure) {
            if (!failure && !alive.expired()) {
                fire();
            }
        });
    }

    void cancel() override {
        alive_.reset();
        timer_.cancel();
    }

private:
    asio::steady_timer timer_;
    /// An expiry already queued when the timer is cancelled must not fire any more.
    std::shared_ptr<int> alive_;
};

class AsioWatch final : public Poller::Watch {
public:
    AsioWatch(EventLoop& loop, asio::io_context& io, int fd)
        : loop_(loop), descriptor_(io), settled_(loop) {
        // The owner's number may be closed and given out again at any time.
        const int own = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (own >= 0) {
            descriptor_.assign(own);
        }
    }

    Task<Status> wait(Poller::Interest interest, Deadline deadline, StopSignal& stop) override {
        if (!descriptor_.is_open()) {
            co_return Error(ErrorCode::NetworkUnreachable, "no file descriptor is left");
        }
        if (stop.requested()) {
            co_return Error(ErrorCode::Cancelled);
        }
        StopSignal::Hook hook(stop, [this] { descriptor_.cancel(); });
        std::unique_ptr<Clock::Timer> timer;
        if (deadline.at != MonoTime::max()) {
            timer = loop_.make_timer();
            timer->start(deadline.at, [this] { descriptor_.cancel(); });
        }
        ready_ = false;
        settled_.reset();
        if (interest != Poller::Interest::Write) {
            start(asio::posix::stream_descriptor::wait_read);
        }
        if (interest != Poller::Interest::Read) {
            start(asio::posix::stream_descriptor::wait_write);
        }
        co_await settled_.wait();
        if (ready_) {
            co_return Status{};
        }
        co_return Error(stop.requested() ? ErrorCode::Cancelled : ErrorCode::DeadlinePassed);
    }

private:
    void start(asio::posix::stream_descriptor::wait_type type) {
        ++pending_;
        descriptor_.async_wait(type, [this](error_code failure) {
            ready_ = ready_ || !failure;
            if (--pending_ == 0) {
                settled_.set();
            } else {
                descriptor_.cancel();
            }
        });
    }

    EventLoop& loop_;
    asio::posix::stream_descriptor descriptor_;
    Event settled_;
    int pending_ = 0;
    bool ready_ = false;
};

}  // namespace

EventLoop::EventLoop() : impl_(std::make_unique<Impl>()) {
    std::signal(SIGPIPE, SIG_IGN);
    impl_->transport = make_asio_transport(*this, impl_->io);
}

EventLoop::~EventLoop() { impl_->blocking.join(); }

void EventLoop::run_until_done(Task<void> task) {
    bool done = false;

    struct Finish {
        static Task<void> after(Task<void> inner, bool& done, asio::io_context& io) {
            co_await std::move(inner);
            done = true;
            io.stop();
        }
    };

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

        static Root start(Task<void> inner) { co_await std::move(inner); }
    };

    post(Root::start(Finish::after(std::move(task), done, impl_->io)).handle);
    impl_->io.restart();
    impl_->io.run();
    QIAO_ASSERT(done);
}

void EventLoop::post(std::coroutine_handle<> coroutine) {
    impl_->ready.push_back(coroutine);
    if (impl_->drain_posted) {
        return;
    }
    impl_->drain_posted = true;
    asio::post(impl_->io, [this] {
        impl_->drain_posted = false;
        // Those that are posted while these run wait for the next turn, so that sockets are seen.
        for (auto turns = impl_->ready.size(); turns > 0; --turns) {
            const auto next = impl_->ready.front();
            impl_->ready.pop_front();
            next.resume();
        }
    });
}

void EventLoop::run_blocking(std::function<void()> work, std::function<void()> done) {
    asio::post(impl_->blocking, [this, work = std::move(work), done = std::move(done)]() mutable {
        work();
        asio::post(impl_->io, std::move(done));
    });
}

MonoTime EventLoop::now() const {
    return MonoTime(
        std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch())
    );
}

WallTime EventLoop::wall_now() const {
    return {std::chrono::duration_cast<std::chrono::microseconds>(
                std::chrono::system_clock::now().time_since_epoch()
    )
                .count()};
}

std::unique_ptr<Clock::Timer> EventLoop::make_timer() {
    return std::make_unique<AsioTimer>(impl_->io);
}

std::unique_ptr<Poller::Watch> EventLoop::watch(int fd) {
    return std::make_unique<AsioWatch>(*this, impl_->io, fd);
}

Transport& EventLoop::transport() { return *impl_->transport; }

void EventLoop::on_signals(std::initializer_list<int> signals, std::function<void(int)> action) {
    impl_->signals = std::make_unique<asio::signal_set>(impl_->io);
    for (const int signal : signals) {
        impl_->signals->add(signal);
    }

    struct Again {
        asio::signal_set* set;
        std::function<void(int)> action;

        void operator()(error_code failure, int signal) {
            if (!failure) {
                action(signal);
                set->async_wait(Again{set, action});
            }
        }
    };

    impl_->signals->async_wait(Again{impl_->signals.get(), std::move(action)});
}

}  // namespace qiao
