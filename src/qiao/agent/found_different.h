#pragma once

#include "qiao/verify/report.h"

#include <map>
#include <vector>

namespace qiao::agent {

/// The tables of one flow that a comparison found different, until another one sees all their rows
/// to be equal, as closely as when they were found. A flow with such a table is not green.
/// Spec
class FoundDifferent {
public:
    /// @param all_tables the report is of every table that the flow carries.
    void note(const verify::VerifyReport& report, bool all_tables);

    std::vector<model::TableName> tables() const;

private:
    void forget_absent(const verify::VerifyReport& report);

    std::map<model::TableName, verify::Level> tables_;
};

}  // namespace qiao::agent
