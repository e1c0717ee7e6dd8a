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

    /// Watches one socket, by a descriptor of its own: the owner may close the socket whenever it
    /// likes, and the other side learns of that when the watch is gone, too.
    class Watch {
    public:
        virtual ~Watch() = default;
        /// Returns when the socket may be ready. One wait at a time.
        /// Errors: common.deadline_passed, common.cancelled; common.network_unreachable when the
        /// process had no descriptor left.
        virtual Task<Status> wait(Interest interest, Deadline deadline, StopSignal& stop) = 0;
    };

    virtual std::unique_ptr<Watch> watch(int fd) = 0;
};

}  // namespace qiao
