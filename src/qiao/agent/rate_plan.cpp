#include "qiao/agent/rate_plan.h"

#include <algorithm>
#include <ctime>

namespace qiao::agent {

namespace {

bool holds_at(const RateRule& rule, uint32_t minute) {
    const bool over_midnight = rule.from > rule.to;
    const bool after = minute >= rule.from;
    const bool before = minute < rule.to;
    return rule.from == rule.to || (over_midnight ? after || before : after && before);
}

uint64_t least_of(const std::vector<RateRule>& rules, uint32_t minute, auto meant) {
    uint64_t least = 0;
    for (const auto& rule : rules) {
        if (meant(rule) && holds_at(rule, minute) &&
            (least == 0 || rule.bytes_per_second < least)) {
            least = rule.bytes_per_second;
        }
    }
    return least;
}

}  // namespace

uint64_t rate_at(const std::vector<RateRule>& rules, std::string_view peer, uint32_t minute) {
    return least_of(rules, minute, [peer](const RateRule& rule) {
        return rule.flow.empty() && (rule.peer.empty() || rule.peer == peer);
    });
}

uint64_t flow_rate_at(const std::vector<RateRule>& rules, std::string_view flow, uint32_t minute) {
    return least_of(rules, minute, [flow](const RateRule& rule) { return rule.flow == flow; });
}

uint32_t minute_of_day(WallTime now) {
    constexpr int64_t kMicroseconds = 1'000'000;
    const auto seconds = static_cast<std::time_t>(now.us / kMicroseconds);
    std::tm local{};
    ::localtime_r(&seconds, &local);
    return static_cast<uint32_t>(local.tm_hour * 60 + local.tm_min);
}

}  // namespace qiao::agent
