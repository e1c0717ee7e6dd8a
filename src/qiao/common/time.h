#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <string>

namespace qiao {

/// Monotonic time of the Clock seam; its zero means nothing.
struct MonoClock {
    using rep = int64_t;
    using period = std::nano;
    using duration = std::chrono::nanoseconds;
    using time_point = std::chrono::time_point<MonoClock>;
    static constexpr bool is_steady = true;
};

using MonoTime = MonoClock::time_point;
using Duration = MonoClock::duration;

/// The moment after which an operation gives up.
struct Deadline {
    MonoTime at = MonoTime::max();

    static Deadline never() { return {}; }

    bool passed(MonoTime now) const { return now >= at; }
};

/// Calendar time: microseconds since 1970-01-01 00:00 UTC.
struct WallTime {
    int64_t us = 0;
    auto operator<=>(const WallTime&) const = default;
    /// `2026-01-31T08:05:09.123456Z`
    std::string to_string() const;
};

}  // namespace qiao
