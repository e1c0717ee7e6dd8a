#pragma once

#include "qiao/common/result.h"
#include "qiao/common/time.h"
#include "qiao/verify/part.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string_view>

namespace qiao::agent {

// The part of a comparison as people write it, and as an agent is asked for it. All errors are
// common.config and say what is wanted. Spec: R-36

/// `5`, `0.25`: per cent with two decimals at most, 0.01 … 100. Gives hundredths of a per cent.
Result<uint32_t> parse_share(std::string_view text);

/// `90s`, `30m`, `2h`, `7d`; at most verify::kWithinMost.
Result<Duration> parse_within(std::string_view text);

/// `column=FROM..TO`; one of the ends may be empty.
Result<drivers::RangeWanted> parse_range(std::string_view text);

/// `column=2d`
Result<drivers::RangeWanted> parse_recent(std::string_view text);

/// As it stands in a question on the status socket; null for all rows.
nlohmann::ordered_json to_json(const verify::Part& part);
Result<verify::Part> parse_part(const nlohmann::ordered_json& json);

}  // namespace qiao::agent
