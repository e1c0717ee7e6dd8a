#pragma once

#include "qiao/common/async/stop.h"
#include "qiao/common/async/task.h"
#include "qiao/common/result.h"
#include "qiao/common/time.h"

#include <cstdint>
#include <memory>

namespace qiao {

/// Waits for a foreign library's socket (libpq's). Production only: databases are a seam of their
/// own, so the simulator never needs it.
class Poller {
public:
    virtual ~Poller() = default;

    enum class Interest : uint8_t { Read, Write, ReadOrWrite };

    /// Watches one socket that stays its owner's; goes before the socket is closed.
    class Watch {
    public:
        virtual ~Watch() = default;
        /// Returns when the socket may be ready. One wait at a time.
        /// Errors: common.deadline_passed, common.cancelled.
        virtual Task<Status> wait(Interest interest, Deadline deadline, StopSignal& stop) = 0;
    };

    virtual std::unique_ptr<Watch> watch(int fd) = 0;
};

}  // namespace qiao
