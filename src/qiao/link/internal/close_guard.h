#pragma once

#include "qiao/common/clock.h"
#include "qiao/common/transport.h"

#include <memory>

namespace qiao::link::internal {

/// Closes a connection when a deadline passes or stop is requested, so that whatever waits for it
/// ends; and says afterwards which it was.
class CloseGuard {
public:
    CloseGuard(Clock& clock, Connection& connection, Deadline deadline, StopSignal& stop)
        : stop_(stop),
          timer_(clock.make_timer()),
          hook_(stop, [&connection] { connection.close(); }) {
        if (deadline.at != MonoTime::max()) {
            timer_->start(deadline.at, [this, &connection] {
                passed_ = true;
                connection.close();
            });
        }
    }

    /// The reason behind a failure of the guarded connection.
    Error explain(Error failure) const {
        if (!failure.is(ErrorCode::NetworkClosed)) {
            return failure;
        }
        if (stop_.requested()) {
            return Error(ErrorCode::Cancelled);
        }
        return passed_ ? Error(ErrorCode::DeadlinePassed, "link handshake") : failure;
    }

private:
    StopSignal& stop_;
    bool passed_ = false;
    std::unique_ptr<Clock::Timer> timer_;
    StopSignal::Hook hook_;
};

}  // namespace qiao::link::internal
