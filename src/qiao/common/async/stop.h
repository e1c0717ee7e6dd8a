#pragma once

#include <functional>
#include <list>
#include <utility>

namespace qiao {

/// A request to stop, seen by everything that waits on behalf of one owner. Set once, never unset.
/// Belongs to one executor; waits that take a StopSignal& end with `common.cancelled` when it is
/// requested. Outlives every wait that was given it.
class StopSignal {
public:
    StopSignal() = default;
    StopSignal(const StopSignal&) = delete;
    StopSignal& operator=(const StopSignal&) = delete;

    bool requested() const { return requested_; }

    void request() {
        requested_ = true;
        while (!hooks_.empty()) {
            auto hook = std::move(hooks_.front());
            hooks_.pop_front();
            hook.first->linked_ = false;
            hook.second();
        }
    }

    /// Calls `action` once when stop is requested, at once if it was already. Undone by its end.
    class Hook {
    public:
        Hook(StopSignal& signal, std::function<void()> action) : signal_(signal) {
            if (signal.requested_) {
                action();
                return;
            }
            position_ = signal.hooks_.insert(signal.hooks_.end(), {this, std::move(action)});
            linked_ = true;
        }

        Hook(const Hook&) = delete;
        Hook& operator=(const Hook&) = delete;

        ~Hook() {
            if (linked_) {
                signal_.hooks_.erase(position_);
            }
        }

    private:
        friend class StopSignal;
        StopSignal& signal_;
        std::list<std::pair<Hook*, std::function<void()>>>::iterator position_;
        bool linked_ = false;
    };

private:
    bool requested_ = false;
    std::list<std::pair<Hook*, std::function<void()>>> hooks_;
};

}  // namespace qiao
