#pragma once

#include "qiao/common/async/stop.h"
#include "qiao/common/async/task.h"
#include "qiao/common/clock.h"
#include "qiao/common/result.h"

namespace qiao {

class Executor;

/// Waits until `at` on the seam's clock. Errors: common.cancelled when stop is requested before.
Task<Status> sleep_until(Executor& executor, Clock& clock, MonoTime at, StopSignal& stop);
Task<Status> sleep_for(Executor& executor, Clock& clock, Duration duration, StopSignal& stop);

}  // namespace qiao
