#include "qiao/agent/found_different.h"

#include <algorithm>

namespace qiao::agent {

using verify::Verdict;

void FoundDifferent::note(const verify::VerifyReport& report, bool all_tables) {
    if (all_tables) {
        forget_absent(report);
    }
    for (const auto& table : report.tables) {
        const auto known = tables_.find(table.source);
        if (table.verdict == Verdict::Different) {
            tables_.insert_or_assign(table.source, table.level);
        } else if (known != tables_.end() && table.verdict == Verdict::Equal &&
                   table.part.whole() && table.level >= known->second) {
            tables_.erase(known);
        }
    }
}

/// What the flow does not carry any more is never compared again.
void FoundDifferent::forget_absent(const verify::VerifyReport& report) {
    std::erase_if(tables_, [&report](const auto& known) {
        const auto& tables = report.tables;
        return std::ranges::find(tables, known.first, &verify::TableReport::source) == tables.end();
    });
}

std::vector<model::TableName> FoundDifferent::tables() const {
    std::vector<model::TableName> names;
    names.reserve(tables_.size());
    for (const auto& [table, level] : tables_) {
        names.push_back(table);
    }
    return names;
}

}  // namespace qiao::agent
