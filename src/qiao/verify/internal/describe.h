#pragma once

#include "qiao/verify/internal/recheck.h"

#include <vector>

namespace qiao::verify::internal {

/// Puts confirmed candidates into the words of a report. Of a table without a key, a row that is
/// only here and one that is only there are told as one row that differs when most of their columns
/// are equal; `report.confirmed` falls by one for each such pair.
void describe_differences(
    const std::vector<Candidate>& confirmed,
    const Plan& plan,
    const VerifyOptions& options,
    TableReport& report
);

}  // namespace qiao::verify::internal
