#pragma once

#include "qiao/common/rng.h"
#include "qiao/common/time.h"

#include <algorithm>

namespace qiao {

/// Growing, jittered pauses between tries of a transient failure; visible through tries().
class Backoff {
public:
    explicit Backoff(
        Duration first = std::chrono::milliseconds(100), Duration most = std::chrono::seconds(15)
    )
        : first_(first), most_(most) {}

    /// The pause before the next try: doubles up to the most, of which a random quarter is cut.
    Duration next(Rng& rng) {
        const auto shift = std::min<uint32_t>(tries_++, 20);
        const auto full = std::min(most_, first_ * (int64_t{1} << shift));
        const auto quarter = static_cast<uint64_t>(full.count() / 4 + 1);
        return full - Duration(static_cast<int64_t>(rng.number() % quarter));
    }

    void reset() { tries_ = 0; }

    uint32_t tries() const { return tries_; }

private:
    Duration first_;
    Duration most_;
    uint32_t tries_ = 0;
};

}  // namespace qiao
