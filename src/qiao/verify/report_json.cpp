#include "qiao/verify/report.h"

#include <nlohmann/json.hpp>

namespace qiao::verify {
namespace {

using Json = nlohmann::ordered_json;

const char* name(Level level) { return level == Level::Table ? "table" : "field"; }

const char* name(Verdict verdict) {
    switch (verdict) {
        case Verdict::Equal:
            return "equal";
        case Verdict::Different:
            return "different";
        case Verdict::CouldNotTell:
            break;
    }
    return "could_not_tell";
}

const char* name(Doubt doubt) {
    switch (doubt) {
        case Doubt::None:
            break;
        case Doubt::Failed:
            return "failed";
        case Doubt::NotApplied:
            return "not_applied";
        case Doubt::Moving:
            return "moving";
        case Doubt::TooMany:
            return "too_many";
    }
    return "";
}

const char* name(Difference::Kind kind) {
    switch (kind) {
        case Difference::Kind::MissingAtTarget:
            return "missing_at_target";
        case Difference::Kind::ExtraAtTarget:
            return "extra_at_target";
        case Difference::Kind::Copies:
            return "copies";
        case Difference::Kind::Differs:
            break;
    }
    return "differs";
}

const char* name(ColumnFinding::Kind kind) {
    switch (kind) {
        case ColumnFinding::Kind::MissingAtTarget:
            return "missing_at_target";
        case ColumnFinding::Kind::MissingAtSource:
            return "missing_at_source";
        case ColumnFinding::Kind::TypesDiffer:
            break;
    }
    return "types_differ";
}

Json json(const Difference& difference) {
    Json out{{"kind", name(difference.kind)}};
    if (!difference.key.empty()) {
        auto& key = out["key"] = Json::object();
        for (const auto& part : difference.key) {
            key[part.column] = part.value ? Json(*part.value) : Json(nullptr);
        }
    }
    out["row"] = difference.row;
    if (!difference.columns.empty()) {
        out["columns"] = difference.columns;
    }
    out["source_copies"] = difference.source_copies;
    out["target_copies"] = difference.target_copies;
    return out;
}

Json json(const ColumnFinding& finding) {
    return {
        {"kind", name(finding.kind)},
        {"column", finding.column},
        {"source_type", finding.source_type},
        {"target_type", finding.target_type},
    };
}

Json json(const std::optional<std::string>& text) { return text ? Json(*text) : Json(nullptr); }

/// Null: all rows.
Json json(const Part& part) {
    if (part.whole()) {
        return nullptr;
    }
    Json out{{"sample_percent", nullptr}, {"sample_seed", nullptr}, {"range", nullptr}};
    if (part.share != 0) {
        out["sample_percent"] = part.share * 100.0 / drivers::RowSample::kAll;
        out["sample_seed"] = part.seed ? Json(*part.seed) : Json(nullptr);
    }
    if (part.range) {
        const auto& [column, from, to] = part.range->range;
        out["range"] = {{"column", column}, {"from", json(from)}, {"to", json(to)}};
    }
    return out;
}

Json json(const TableReport& report) {
    Json out{
        {"source", report.source.to_string()},
        {"target", report.target.to_string()},
        {"part", json(report.part)},
        {"verdict", name(report.verdict)},
        {"source_rows", report.source_rows},
        {"target_rows", report.target_rows},
        {"source_position", report.source_position.to_string()},
        {"as_of", report.as_of.to_string()},
    };
    if (report.doubt != Doubt::None) {
        out["doubt"] = name(report.doubt);
    }
    if (report.error) {
        out["error"] = {{"code", report.error->info().name}, {"detail", report.error->detail()}};
    }
    if (report.level == Level::Field) {
        out["keyless"] = report.keyless;
        out["columns"] = report.columns;
        out["buckets"] = report.buckets;
        out["unequal_buckets"] = report.unequal_buckets;
        out["candidates"] = report.candidates;
        out["settled"] = report.settled;
        out["confirmed"] = report.confirmed;
        out["unsettled"] = report.unsettled;
        out["unexamined_buckets"] = report.unexamined;
        auto& findings = out["column_findings"] = Json::array();
        for (const auto& finding : report.findings) {
            findings.push_back(json(finding));
        }
        auto& differences = out["differences"] = Json::array();
        for (const auto& difference : report.differences) {
            differences.push_back(json(difference));
        }
    }
    out["seconds"] = report.seconds;
    return out;
}

}  // namespace

std::string to_json(const VerifyReport& report) {
    Json out{
        {"level", name(report.level)},
        {"verdict", name(report.verdict())},
        {"whole", report.whole()},
        {"started", report.started.to_string()},
        {"seconds", report.seconds},
    };
    auto& tables = out["tables"] = Json::array();
    for (const auto& table : report.tables) {
        tables.push_back(json(table));
    }
    // A key need not be UTF-8 in every database.
    return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace qiao::verify
