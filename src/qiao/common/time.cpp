#include "qiao/common/time.h"

#include <fmt/format.h>

namespace qiao {

std::string WallTime::to_string() const {
    using namespace std::chrono;
    const sys_time<microseconds> moment{microseconds(us)};
    const auto day = floor<days>(moment);
    const year_month_day date(day);
    const hh_mm_ss clock(moment - day);
    return fmt::format(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
        static_cast<int>(date.year()),
        static_cast<unsigned>(date.month()),
        static_cast<unsigned>(date.day()),
        clock.hours().count(),
        clock.minutes().count(),
        clock.seconds().count(),
        clock.subseconds().count()
    );
}

}  // namespace qiao
