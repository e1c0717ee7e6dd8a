#include "qiao/common/async/sleep.h"

#include "qiao/common/async/event.h"

namespace qiao {

Task<Status> sleep_until(Executor& executor, Clock& clock, MonoTime at, StopSignal& stop) {
    Event woken(executor);
    const auto timer = clock.make_timer();
    const auto wake = [&woken] { woken.set(); };
    timer->start(at, wake);
    StopSignal::Hook hook(stop, wake);
    co_await woken.wait();
    if (stop.requested()) {
        co_return Error(ErrorCode::Cancelled);
    }
    co_return Status{};
}

Task<Status> sleep_for(Executor& executor, Clock& clock, Duration duration, StopSignal& stop) {
    co_return co_await sleep_until(executor, clock, clock.now() + duration, stop);
}

}  // namespace qiao
