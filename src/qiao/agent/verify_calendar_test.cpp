#include "qiao/agent/verify_calendar.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

namespace qiao::agent {
namespace {

class Calendar : public ::testing::Test {
protected:
    void SetUp() override {
        ::setenv("TZ", "Asia/Shanghai", 1);
        ::tzset();
    }

    void TearDown() override {
        ::unsetenv("TZ");
        ::tzset();
    }

    /// How often it is due within so many days, looked at once a second, and when first.
    int count(const VerifySchedule& schedule, int days, WallTime* first = nullptr) {
        VerifyCalendar calendar;
        int due = 0;
        for (int64_t second = 0; second < days * 86'400LL; ++second) {
            const WallTime now{kMonday.us + second * 1'000'000};
            if (calendar.due(schedule, now)) {
                if (due++ == 0 && first != nullptr) {
                    *first = now;
                }
            }
        }
        return due;
    }

    static constexpr WallTime kMonday{1'794'153'600'000'000};  ///< 2026-11-08 16:00 UTC
    VerifySchedule schedule_{.minute = 2 * 60 + 30};
};

// Spec
TEST_F(Calendar, ComesOnceADayAtItsTimeOfThisMachine) {
    WallTime first;
    EXPECT_EQ(count(schedule_, 7, &first), 7);
    EXPECT_EQ(first.to_string(), "2026-11-08T18:30:00.000000Z");
}

TEST_F(Calendar, ComesOnTheDaysThatAreNamed) {
    schedule_.days = {};
    schedule_.days[2] = schedule_.days[5] = true;
    WallTime first;
    EXPECT_EQ(count(schedule_, 14, &first), 4);
    EXPECT_EQ(first.to_string(), "2026-11-09T18:30:00.000000Z") << "a Tuesday there";
}

}  // namespace
}  // namespace qiao::agent
