#pragma once

#include "qiao/common/result.h"
#include "qiao/verify/report.h"

#include <map>
#include <string>
#include <string_view>
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

    bool operator==(const FoundDifferent&) const = default;

    // Kept over restarts, all flows of a node in one object.
    using ByFlow = std::map<std::string, FoundDifferent>;
    static std::string to_json(const ByFlow& flows);
    /// Errors: common.config for text that to_json() did not write.
    static Result<ByFlow> parse(std::string_view json);

private:
    void forget_absent(const verify::VerifyReport& report);

    std::map<model::TableName, verify::Level> tables_;
};

}  // namespace qiao::agent
