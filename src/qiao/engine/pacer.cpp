#include "qiao/engine/pacer.h"

#include "qiao/common/async/sleep.h"

#include <algorithm>

namespace qiao::engine {

Task<Status> Pacer::earn(uint64_t bytes, StopSignal& stop, std::function<bool()> over) {
    // Looked at again after a while: the rate may have been raised meanwhile.
    constexpr Duration kSleepMost = std::chrono::seconds(1);
    while (true) {
        if (over && over()) {
            co_return Error(ErrorCode::Cancelled);
        }
        const auto now = clock_.now();
        const auto ready = bucket_.ready_at(now);
        if (ready <= now) {
            bucket_.take(bytes, now);
            co_return Status{};
        }
        const auto pause = std::min<Duration>(ready - now, kSleepMost);
        QIAO_CO_CHECK(co_await sleep_for(executor_, clock_, pause, stop));
    }
}

}  // namespace qiao::engine
