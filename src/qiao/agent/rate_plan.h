#pragma once

#include "qiao/common/time.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qiao::agent {

/// How much may be sent to a peer, or by a flow, at some hours. Spec: R-77
struct RateRule {
    std::string peer;  ///< empty: to each peer
    uint64_t bytes_per_second = 0;
    // Minutes of the day by this machine's clock; from `to` on the rule does not hold. Equal: all
    // day. A rule may run over midnight.
    uint32_t from = 0, to = 0;
    std::string flow = {};  ///< of this flow alone; empty: of the link
    bool operator==(const RateRule&) const = default;
};

/// The least of the rules that hold then; 0: none does.
uint64_t rate_at(const std::vector<RateRule>& rules, std::string_view peer, uint32_t minute);
/// The same of the rules of a flow alone.
uint64_t flow_rate_at(const std::vector<RateRule>& rules, std::string_view flow, uint32_t minute);

/// By this machine's time zone.
uint32_t minute_of_day(WallTime now);

}  // namespace qiao::agent
