#include "qiao/agent/verify_calendar.h"

#include "qiao/agent/rate_plan.h"

#include <ctime>

namespace qiao::agent {
namespace {

size_t weekday(WallTime now) {
    constexpr int64_t kMicroseconds = 1'000'000;
    const auto seconds = static_cast<std::time_t>(now.us / kMicroseconds);
    std::tm local{};
    ::localtime_r(&seconds, &local);
    return static_cast<size_t>(local.tm_wday);
}

}  // namespace

bool VerifyCalendar::due(const VerifySchedule& schedule, WallTime now) {
    constexpr int64_t kMinute = 60'000'000;
    const auto minute = now.us / kMinute;
    const bool named = minute_of_day(now) == schedule.minute && schedule.days.at(weekday(now));
    if (!named || minute == told_) {
        return false;
    }
    told_ = minute;
    return true;
}

}  // namespace qiao::agent
