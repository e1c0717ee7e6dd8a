#include "qiao/agent/rate_plan.h"

#include <gtest/gtest.h>

namespace qiao::agent {
namespace {

constexpr uint32_t at(uint32_t hour, uint32_t minute = 0) { return hour * 60 + minute; }

// Spec: R-77
TEST(RatePlan, TheLeastRuleOfThePeerAndTheHourHolds) {
    const std::vector<RateRule> rules{
        {"", 8'000'000, 0, 0},
        {"county", 2'000'000, at(8), at(18)},
        {"", 1'000'000, at(12), at(13)},
    };
    EXPECT_EQ(rate_at(rules, "county", at(7, 59)), 8'000'000U);
    EXPECT_EQ(rate_at(rules, "county", at(8)), 2'000'000U);
    EXPECT_EQ(rate_at(rules, "county", at(12, 30)), 1'000'000U);
    EXPECT_EQ(rate_at(rules, "county", at(18)), 8'000'000U);
    EXPECT_EQ(rate_at(rules, "city", at(9)), 8'000'000U);
    EXPECT_EQ(rate_at({}, "city", at(9)), 0U) << "no limit";
}

TEST(RatePlan, ARuleMayRunOverMidnight) {
    const std::vector<RateRule> rules{{"", 5, at(22), at(6)}};
    EXPECT_EQ(rate_at(rules, "x", at(23)), 5U);
    EXPECT_EQ(rate_at(rules, "x", at(0)), 5U);
    EXPECT_EQ(rate_at(rules, "x", at(5, 59)), 5U);
    EXPECT_EQ(rate_at(rules, "x", at(6)), 0U);
    EXPECT_EQ(rate_at(rules, "x", at(12)), 0U);
}

TEST(RatePlan, ARuleOfAFlowIsItsOwn) {
    const std::vector<RateRule> rules{{"", 9, 0, 0}, {"", 5, at(8), at(18), "persons"}};
    EXPECT_EQ(flow_rate_at(rules, "persons", at(9)), 5U);
    EXPECT_EQ(flow_rate_at(rules, "persons", at(19)), 0U);
    EXPECT_EQ(flow_rate_at(rules, "houses", at(9)), 0U);
    EXPECT_EQ(rate_at(rules, "county", at(9)), 9U) << "the link's is apart";
}

}  // namespace
}  // namespace qiao::agent
