#pragma once

#include "qiao/common/async/executor.h"
#include "qiao/common/async/stop.h"
#include "qiao/common/async/task.h"
#include "qiao/common/clock.h"
#include "qiao/common/result.h"

#include <cstdint>

namespace qiao {

/// A brake: no more than so many rows a second, over any longer time.
class Pace {
public:
    /// @param rows_per_second 0: no brake.
    Pace(Executor& executor, Clock& clock, uint64_t rows_per_second)
        : executor_(executor), clock_(clock), rows_per_second_(rows_per_second) {}

    bool free() const { return rows_per_second_ == 0; }

    /// Waits until `rows` more may be read. Errors: common.cancelled.
    Task<Status> pass(uint64_t rows, StopSignal& stop);

private:
    Executor& executor_;
    Clock& clock_;
    uint64_t rows_per_second_;
    MonoTime next_;  ///< when the rows so far will have used up their time
};

}  // namespace qiao
