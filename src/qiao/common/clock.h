#pragma once

#include "qiao/common/time.h"

#include <functional>
#include <memory>

namespace qiao {

/// Time as a seam: the simulator has its own. Source: rules 30
class Clock {
public:
    virtual ~Clock() = default;
    virtual MonoTime now() const = 0;
    virtual WallTime wall_now() const = 0;

    /// A one-shot timer. Lives where the waiter lives; destroying or cancelling it is safe at any
    /// time and after that `fire` is not called. `fire` runs on the executor's thread.
    class Timer {
    public:
        virtual ~Timer() = default;
        virtual void start(MonoTime at, std::function<void()> fire) = 0;
        virtual void cancel() = 0;
    };

    virtual std::unique_ptr<Timer> make_timer() = 0;
};

}  // namespace qiao
