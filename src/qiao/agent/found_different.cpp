#include "qiao/agent/found_different.h"

#include <nlohmann/json.hpp>

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

std::string FoundDifferent::to_json(const ByFlow& flows) {
    auto all = nlohmann::json::array();
    for (const auto& [flow, found] : flows) {
        for (const auto& [table, level] : found.tables_) {
            all.push_back(
                {{"flow", flow},
                 {"schema", table.schema},
                 {"table", table.name},
                 {"fields", level == verify::Level::Field}}
            );
        }
    }
    return all.dump(1) + "\n";
}

Result<FoundDifferent::ByFlow> FoundDifferent::parse(std::string_view json) {
    const auto all = nlohmann::json::parse(json, nullptr, false);
    if (!all.is_array()) {
        return Error(ErrorCode::Config, "what was found different");
    }
    ByFlow flows;
    try {
        for (const auto& one : all) {
            const bool fields = one.at("fields");
            flows[one.at("flow")].tables_[{one.at("schema"), one.at("table")}] =
                fields ? verify::Level::Field : verify::Level::Table;
        }
    } catch (const nlohmann::json::exception& error) {
        return Error(ErrorCode::Config, error.what());
    }
    return flows;
}

}  // namespace qiao::agent
