#pragma once

#include "qiao/capture/timestamp_source.h"
#include "qiao/drivers/finding.h"

#include <vector>

namespace qiao::capture {

/// Whether real rows keep what was declared of them; pure. Spec: H-29, H-30, H-31, R-28
std::vector<drivers::Finding> judge_timed_table(
    const TimestampOptions& options, const drivers::TimedFacts& facts
);

/// Probes the table and judges it; reads all of it. Errors: drivers.*
Task<Result<std::vector<drivers::Finding>>> check_timed_table(
    drivers::RowQuery& query, TimestampOptions options
);

}  // namespace qiao::capture
