#pragma once

#include "qiao/common/time.h"

#include <cstdint>

namespace qiao::link {

/// A rate limit: what is sent must be earned, at so many bytes a second. It lets something through
/// whenever nothing is owed, so one large frame may go into debt and is paid for afterwards: the
/// mean rate holds, whatever the size of frames. Spec: R-77
class TokenBucket {
public:
    /// 0 bytes a second: no limit.
    explicit TokenBucket(uint64_t bytes_per_second, MonoTime now);

    /// What was earned or is owed is kept.
    void set_rate(uint64_t bytes_per_second, MonoTime now);

    uint64_t rate() const { return rate_; }

    /// When something may be sent: not after `now` if at once.
    MonoTime ready_at(MonoTime now) const;
    void take(uint64_t bytes, MonoTime now);

private:
    /// Unused rate is saved up to this much time, so that a late turn of the loop costs nothing.
    static constexpr Duration kSavedMost = std::chrono::milliseconds(100);

    uint64_t rate_;
    /// All that was taken is paid for at this time.
    MonoTime paid_at_;
};

}  // namespace qiao::link
