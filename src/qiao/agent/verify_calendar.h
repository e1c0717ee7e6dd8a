#pragma once

#include "qiao/common/time.h"
#include "qiao/verify/part.h"

#include <array>
#include <cstdint>

namespace qiao::agent {

/// When a flow is compared by itself, by this machine's time zone. Spec
struct VerifySchedule {
    uint32_t minute = 0;                                                 ///< of the day
    std::array<bool, 7> days{true, true, true, true, true, true, true};  ///< from Sunday on
    bool repair = false;
    uint64_t rows_per_second = 0;  ///< 0: no brake
    verify::Part part{};           ///< of every table
    bool operator==(const VerifySchedule&) const = default;
};

/// Says once in each minute that the schedule names that it is time.
class VerifyCalendar {
public:
    bool due(const VerifySchedule& schedule, WallTime now);

private:
    int64_t told_ = 0;  ///< the minute, counted from 1970
};

}  // namespace qiao::agent
