#pragma once

#include "qiao/common/async/event.h"
#include "qiao/common/async/task.h"

namespace qiao::apply {

/// One at a time: who writes the checkpoint's row, of the coroutines of one process. Without it
/// two of them would wait for each other in the database, where neither can be seen.
class Turn {
public:
    explicit Turn(Executor& executor) : free_(executor) {}

    /// Held until destroyed.
    class Held {
    public:
        explicit Held(Turn& turn) : turn_(&turn) {}

        Held(Held&& other) noexcept : turn_(std::exchange(other.turn_, nullptr)) {}

        Held& operator=(Held&&) = delete;
        Held(const Held&) = delete;
        Held& operator=(const Held&) = delete;

        ~Held() {
            if (turn_ != nullptr) {
                turn_->taken_ = false;
                turn_->free_.pulse();
            }
        }

    private:
        Turn* turn_;
    };

    Task<Held> take() {
        while (taken_) {
            co_await free_.wait();
        }
        taken_ = true;
        co_return Held(*this);
    }

private:
    Event free_;
    bool taken_ = false;
};

}  // namespace qiao::apply
