#include "qiao/link/token_bucket.h"

#include <algorithm>

namespace qiao::link {

TokenBucket::TokenBucket(uint64_t bytes_per_second, MonoTime now)
    : rate_(bytes_per_second), paid_at_(now) {}

void TokenBucket::set_rate(uint64_t bytes_per_second, MonoTime now) {
    if (rate_ != 0 && bytes_per_second != 0 && paid_at_ > now) {
        // The debt is in bytes: at another rate it is paid off at another time.
        const auto owed = std::chrono::duration<double>(paid_at_ - now) *
                          (static_cast<double>(rate_) / static_cast<double>(bytes_per_second));
        paid_at_ = now + std::chrono::duration_cast<Duration>(owed);
    } else {
        paid_at_ = now;
    }
    rate_ = bytes_per_second;
}

MonoTime TokenBucket::ready_at(MonoTime now) const {
    return rate_ == 0 ? now : std::max(now, paid_at_);
}

void TokenBucket::take(uint64_t bytes, MonoTime now) {
    if (rate_ == 0) {
        return;
    }
    const std::chrono::duration<double> price(
        static_cast<double>(bytes) / static_cast<double>(rate_)
    );
    paid_at_ = std::max(paid_at_, now - kSavedMost) + std::chrono::duration_cast<Duration>(price);
}

}  // namespace qiao::link
