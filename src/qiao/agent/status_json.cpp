#include "qiao/agent/status.h"

#include <nlohmann/json.hpp>

namespace qiao::agent {
namespace {

using Json = nlohmann::ordered_json;

/// Both languages, so that whoever shows it later needs no catalogue.
Json of(const std::optional<Error>& error) {
    if (!error) {
        return nullptr;
    }
    const auto& info = error->info();
    return {
        {"code", info.name},
        {"detail", error->detail()},
        {"cause", info.cause_en},
        {"next_step", info.next_en},
        {"cause_zh", info.cause_zh},
        {"next_step_zh", info.next_zh},
    };
}

Json of(const std::optional<double>& number) { return number ? Json(*number) : Json(nullptr); }

Json of_days(std::optional<int> days) { return days ? Json(*days) : Json(nullptr); }

Json of(const StreamPoint& point) {
    return {{"epoch", point.epoch.value}, {"sequence", point.sequence.value}};
}

Json of(const std::optional<ComparisonStatus>& comparison) {
    if (!comparison) {
        return nullptr;
    }
    return {
        {"state", comparison->state},
        {"ended_at",
         comparison->ended_at.us == 0 ? Json(nullptr) : Json(comparison->ended_at.to_string())},
        {"part",
         comparison->part.whole() ? Json(nullptr)
                                  : Json(verify::render(comparison->part, "", Language::English))},
        {"different_tables", comparison->different},
        {"error", of(comparison->error)}
    };
}

Json of(const std::optional<drivers::SourceUsage>& usage) {
    if (!usage) {
        return nullptr;
    }
    const auto seconds = [](Duration time) { return std::chrono::duration<double>(time).count(); };
    const auto& limits = usage->limits;
    return {
        {"connections",
         {{"now", usage->connections},
          {"most", usage->connections_most},
          {"limit", limits.connections}}},
        {"rows_per_second", {{"now", usage->rows_per_second}, {"limit", limits.rows_per_second}}},
        {"statement_seconds",
         {{"longest", seconds(usage->longest_statement)}, {"limit", seconds(limits.statement_time)}}
        }
    };
}

Json of(const StageStatus& stage) {
    return {
        {"name", stage.name},
        {"state", stage.state},
        {"point", of(stage.point)},
        {"position", stage.position},
        {"rows", stage.rows},
        {"bytes", stage.bytes},
        {"rows_per_second", stage.rows_per_second},
        {"queue", stage.queue},
        {"tries", stage.tries},
        {"last_error", of(stage.last_error)},
    };
}

Json of(const FlowStatus& flow) {
    auto stages = Json::array();
    for (const auto& stage : flow.stages) {
        stages.push_back(of(stage));
    }
    auto doubtful = Json::array();
    for (const auto& one : flow.doubtful) {
        doubtful.push_back({{"table", one.table}, {"state", one.state}, {"note", one.note}});
    }
    return {
        {"name", flow.name},
        {"role", flow.role},
        {"state", flow.state},
        {"peer", flow.peer},
        {"database", flow.database},
        {"stream", flow.stream.to_string()},
        {"moving", to_text(flow.moving)},
        {"green", flow.green},
        {"lag_seconds", of(flow.lag_seconds)},
        {"lag_bytes", flow.lag_bytes},
        {"rate_limit", flow.rate_limit},
        {"source_usage", of(flow.source_usage)},
        {"last_out_seconds", of(flow.last_out_seconds)},
        {"stages", std::move(stages)},
        {"load",
         {{"running", flow.load.running},
          {"tables", flow.load.tables},
          {"parts", flow.load.parts},
          {"parts_done", flow.load.parts_done},
          {"rows", flow.load.rows},
          {"rows_estimated", flow.load.rows_estimated},
          {"bytes", flow.load.bytes}}},
        {"divergences", flow.divergences},
        {"went_back", flow.went_back},
        {"open_errors", flow.open_errors},
        {"laid_aside", flow.laid_aside},
        {"doubtful", std::move(doubtful)},
        {"comparison", of(flow.comparison)},
        {"tries", flow.tries},
        {"next_try_seconds", of(flow.next_try_seconds)},
        {"needs_operator", flow.needs_operator},
        {"last_error", of(flow.last_error)},
    };
}

Json of(const LinkStatus& link, WallTime now) {
    const bool known = link.certificate_until.us != 0;
    return {
        {"peer", link.peer},
        {"direction", link.direction},
        {"state", link.state},
        {"address", link.address},
        {"round_trip_ms", of(link.round_trip_ms)},
        {"bytes_in", link.bytes_in},
        {"bytes_out", link.bytes_out},
        {"rate_limit", link.rate_limit},
        {"certificate_until", known ? Json(link.certificate_until.to_string()) : Json(nullptr)},
        {"certificate_ends_within_days",
         known ? of_days(expiry_notice(link.certificate_until, now)) : Json(nullptr)},
        {"streams", link.streams},
        {"sessions", link.sessions},
        {"tries", link.tries},
        {"last_error", of(link.last_error)},
    };
}

}  // namespace

std::string_view to_text(Moving moving) {
    switch (moving) {
        case Moving::Yes:
            return "yes";
        case Moving::No:
            return "no";
        case Moving::Unknown:
            break;
    }
    return "unknown";
}

std::string to_json(const AgentStatus& status) {
    auto links = Json::array();
    for (const auto& link : status.links) {
        links.push_back(of(link, status.at));
    }
    auto flows = Json::array();
    for (const auto& flow : status.flows) {
        flows.push_back(of(flow));
    }
    const Json whole{
        {"node", status.node},
        {"version", status.version},
        {"incarnation", status.incarnation.to_string()},
        {"at", status.at.to_string()},
        {"uptime_seconds", status.uptime_seconds},
        {"resident_bytes", status.resident_bytes},
        {"certificate",
         {{"subject", status.certificate},
          {"not_after", status.certificate_until.to_string()},
          {"ends_within_days", of_days(expiry_notice(status.certificate_until, status.at))}}},
        {"listening", status.listening},
        {"last_error", of(status.last_error)},
        {"settings",
         {{"since", status.settings_since.to_string()}, {"refused", of(status.reload_refused)}}},
        {"trail",
         {{"condition", status.trail.condition},
          {"disk_bytes", status.trail.disk_bytes},
          {"budget_bytes", status.trail.budget_bytes},
          {"nearly_full", nearly_full(status.trail)},
          {"segments", status.trail.segments},
          {"waiting", status.trail.waiting},
          {"damage", status.trail.damage}}},
        {"transfer_log",
         {{"records", status.transfer_log.records},
          {"lost", status.transfer_log.lost},
          {"last_error", of(status.transfer_log.last_error)}}},
        {"links", std::move(links)},
        {"flows", std::move(flows)},
    };
    // Details may hold what a server said, in whatever encoding.
    return whole.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace qiao::agent
