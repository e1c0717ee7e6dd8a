#include "qiao/agent/config.h"

#include "qiao/agent/internal/config_section.h"
#include "qiao/agent/verify_part.h"
#include "qiao/crypto/certificate.h"
#include "qiao/crypto/suite.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

// yaml-cpp throws, and so does Section: all of it ends in parse_config().
namespace qiao::agent {
namespace {

using internal::Refused;
using internal::Section;

constexpr uint64_t kSegmentLeast = 64U << 10U;
constexpr uint64_t kSegmentMost = 1U << 30U;
constexpr size_t kReadersMost = 64;
/// A stream has two, its watch one, a load's snapshot one, and one comes and goes.
constexpr size_t kConnectionsBesideReaders = 5;
constexpr size_t kConnectionsLeast = kConnectionsBesideReaders + 1;
constexpr uint64_t kValueLeast = 1U << 20U;

std::string name_in(Section& section, const char* key) {
    auto name = section.text(key);
    if (!crypto::is_certificate_name(name)) {
        throw section.refuse(
            key, "a name has 1 to 64 characters, none of them a control character"
        );
    }
    return name;
}

Endpoint endpoint_in(Section& section, const char* key) {
    const auto endpoint = Endpoint::parse(section.text(key));
    if (!endpoint) {
        throw section.refuse(key, "write host:port, an IPv6 address in brackets");
    }
    return *endpoint;
}

TlsConfig read_tls(Section section) {
    TlsConfig tls{section.path("certificate"), section.path("key"), section.path("ca")};
    section.done();
    return tls;
}

StatusConfig read_status(Section section, const std::string& state) {
    StatusConfig status;
    status.socket = section.path_or("socket", state + "/status.sock");
    if (section.has("http")) {
        // A port alone, or with an empty host, is for this machine only.
        const auto text = section.text("http");
        const bool port_only = text.find(':') == std::string::npos;
        const auto endpoint = Endpoint::parse(port_only ? "127.0.0.1:" + text : text);
        if (!endpoint) {
            throw section.refuse("http", "write host:port or a port, which is of 127.0.0.1");
        }
        status.http = *endpoint;
        if (status.http->host.empty()) {
            status.http->host = "127.0.0.1";
        }
    }
    section.done();
    return status;
}

TrailConfig read_trail(Section section) {
    TrailConfig trail;
    trail.budget_bytes = section.size_or("budget", trail.budget_bytes);
    trail.grace = section.duration_or("grace", trail.grace);
    trail.segment_bytes = section.size_or("segment", trail.segment_bytes);
    if (trail.segment_bytes < kSegmentLeast || trail.segment_bytes > kSegmentMost) {
        throw section.refuse("segment", "64KiB to 1GiB");
    }
    section.done();
    return trail;
}

/// `08:30`, as minutes of the day.
uint32_t minute_in(Section& section, const char* key) {
    const auto text = section.text_or(key, "00:00");
    unsigned hour = 0;
    unsigned minute = 0;
    const auto* end = text.data() + text.size();
    const auto first = std::from_chars(text.data(), end, hour);
    const bool colon = first.ec == std::errc() && first.ptr != end && *first.ptr == ':';
    const auto second = colon ? std::from_chars(first.ptr + 1, end, minute) : first;
    if (!colon || second.ec != std::errc() || second.ptr != end || hour > 23 || minute > 59) {
        throw section.refuse(key, "a time of the day like \"08:30\"");
    }
    return hour * 60 + minute;
}

/// Which rows of the flow's tables.
verify::Part read_part(Section& section) {
    verify::Part part;
    if (section.has("sample")) {
        const auto share = parse_share(section.text("sample"));
        if (!share) {
            throw section.refuse("sample", share.error().detail());
        }
        part.share = *share;
    }
    if (section.has("recent")) {
        auto recent = section.section("recent");
        auto& wanted = part.range.emplace();
        wanted.range.column = recent.text("column");
        const auto within = parse_within(recent.text("within"));
        if (!within) {
            throw recent.refuse("within", within.error().detail());
        }
        wanted.within = *within;
        recent.done();
    }
    return part;
}

VerifySchedule read_verify(Section section) {
    static constexpr std::array<std::string_view, 7> kDays{
        "sun", "mon", "tue", "wed", "thu", "fri", "sat"
    };
    VerifySchedule schedule;
    if (!section.has("at")) {
        throw section.refuse("at", "is missing");
    }
    schedule.minute = minute_in(section, "at");
    if (section.has("days")) {
        schedule.days = {};
        for (const auto& day : section.texts("days")) {
            const auto found = std::ranges::find(kDays, day);
            if (found == kDays.end()) {
                throw section.refuse("days", "sun, mon, tue, wed, thu, fri or sat");
            }
            schedule.days.at(static_cast<size_t>(found - kDays.begin())) = true;
        }
    }
    schedule.repair = section.flag_or("repair", false);
    schedule.rows_per_second = section.number_or("rows_per_second", 0);
    schedule.part = read_part(section);
    section.done();
    return schedule;
}

RateRule read_rate(Section section) {
    RateRule rule;
    rule.peer = section.text_or("peer", "");
    rule.flow = section.text_or("flow", "");
    if (!rule.flow.empty() && !rule.peer.empty()) {
        throw section.refuse("flow", "a rule is for a flow or for a peer");
    }
    rule.bytes_per_second = section.size_or("rate", 0);
    if (rule.bytes_per_second == 0) {
        throw section.refuse("rate", "bytes a second, like 2MiB");
    }
    rule.from = minute_in(section, "from");
    rule.to = minute_in(section, "to");
    section.done();
    return rule;
}

PeerConfig read_peer(Section section) {
    PeerConfig peer{name_in(section, "name"), endpoint_in(section, "address")};
    if (peer.address.host.empty() || peer.address.host == "*" || peer.address.port == 0) {
        throw section.refuse("address", "a host and a port to dial");
    }
    section.done();
    return peer;
}

model::TableName table_name(Section& section, const char* key, const std::string& text) {
    const auto dot = text.find('.');
    if (dot == 0 || dot == std::string::npos || dot + 1 == text.size()) {
        throw section.refuse(key, fmt::format("`{}` is not schema.table", text));
    }
    return {text.substr(0, dot), text.substr(dot + 1)};
}

/// `schema.table: schema.table`, or with columns `schema.table: {to: schema.table, columns: {a:
/// b}}`.
model::Mapping read_names(Section rename) {
    model::Mapping names;
    std::set<model::TableName> targets;
    for (const auto& source : rename.names()) {
        const auto* key = source.c_str();
        model::Mapping::Renamed renamed;
        if (rename.is_section(key)) {
            auto section = rename.section(key);
            renamed.table = table_name(section, "to", section.text_or("to", source));
            std::set<std::string> columns;
            for (const auto& [from, to] : section.pairs("columns")) {
                if (!columns.insert(to).second) {
                    throw section.refuse("columns", fmt::format("two columns become {}", to));
                }
                renamed.columns[from] = to;
            }
            section.done();
        } else {
            renamed.table = table_name(rename, key, rename.text(key));
        }
        if (!targets.insert(renamed.table).second) {
            throw rename.refuse(
                source, fmt::format("two tables become {}", renamed.table.to_string())
            );
        }
        names.rename(table_name(rename, key, source), std::move(renamed));
    }
    return names;
}

/// `schema.table: {columns: [a, b], where: "a > 1"}`.
model::Selection read_selection(Section select) {
    model::Selection selection;
    for (const auto& table : select.names()) {
        const auto* key = table.c_str();
        if (!select.is_section(key)) {
            throw select.refuse(key, "{columns: [a, b], where: \"a > 1\"}, one of them or both");
        }
        auto section = select.section(key);
        auto& chosen = selection[table_name(select, key, table)];
        if (section.has("columns")) {
            chosen.columns = section.texts("columns");
        }
        chosen.where = section.text_or("where", "");
        section.done();
        if (chosen == model::TableSelection{}) {
            throw select.refuse(key, "chooses nothing: `columns` or `where`");
        }
    }
    return selection;
}

bool cuts_columns(const model::Selection& selection) {
    return std::ranges::any_of(selection, [](const auto& entry) {
        return !entry.second.columns.empty();
    });
}

TimedChoice read_timed(Section section) {
    TimedChoice timed;
    auto& options = timed.options;
    options.table.stamp = section.text("column");
    if (section.has("key")) {
        options.table.keys = section.texts("key");
    }
    options.flag = section.text_or("valid", "");
    if (section.has("deleted")) {
        for (const auto& value : section.texts("deleted")) {
            add_deleted_value(timed, value);
        }
    }
    if (options.flag.empty() != options.flag_values.empty()) {
        throw section.refuse(
            options.flag.empty() ? "deleted" : "valid",
            "`valid` names the column, `deleted` lists its values that mean a deleted row"
        );
    }
    options.overlap = section.duration_or("overlap", options.overlap);
    options.every = section.duration_or("every", options.every);
    if (options.every == Duration::zero()) {
        throw section.refuse("every", "more than nothing");
    }
    timed.zone = section.text_or("zone", "");
    section.done();
    return timed;
}

void read_mode(Section& section, FlowConfig& flow) {
    const auto mode = section.choice_or("mode", {"log", "timestamp"}, "log");
    if (mode == "timestamp") {
        flow.timed = read_timed(section.section("timestamp"));
        if (flow.tables.size() != 1 || flow.tables.front().find('*') != std::string::npos) {
            throw section.refuse("tables", "by timestamp a flow carries one table or view");
        }
    } else if (section.has("timestamp")) {
        throw section.refuse("timestamp", "belongs to `mode: timestamp`");
    }
}

drivers::SourceLimits read_source_limits(Section section) {
    drivers::SourceLimits limits;
    limits.connections = section.number_or("connections", 0);
    if (limits.connections != 0 && limits.connections < kConnectionsLeast) {
        throw section.refuse(
            "connections",
            fmt::format("{} at least: stream, watch, load, compare", kConnectionsLeast)
        );
    }
    limits.rows_per_second = section.number_or("rows_per_second", 0);
    limits.statement_time = section.duration_or("statement_time", limits.statement_time);
    section.done();
    return limits;
}

void read_source(Section& section, FlowConfig& flow) {
    flow.tables = section.texts("tables");
    if (flow.tables.empty()) {
        throw section.refuse("tables", "at least one pattern, like public.*");
    }
    read_mode(section, flow);
    flow.selection = read_selection(section.section_or_empty("select"));
    if (flow.timed && !flow.selection.empty()) {
        throw section.refuse("select", "by timestamp it is the view that chooses");
    }
    flow.create = section.flag_or("create", false);
    if (flow.create && cuts_columns(flow.selection)) {
        throw section.refuse(
            "create", "makes whole tables: make those with chosen columns by hand"
        );
    }
    const auto has_columns = [](const auto& entry) { return !entry.second.columns.empty(); };
    if (flow.create && std::ranges::any_of(flow.names.tables(), has_columns)) {
        throw section.refuse(
            "create", "makes columns under their own names: make renamed ones by hand"
        );
    }
    const auto load = section.choice_or("load", {"link", "carried", "existing"}, "link");
    flow.carried = load == "carried";
    flow.existing = load == "existing";
    if (load != "link" && flow.timed) {
        throw section.refuse(
            "load", "by timestamp nothing is carried yet: it has no log to follow"
        );
    }
    flow.custody = section.choice_or("custody", {"hop", "end"}, "hop") == "end"
                       ? engine::Custody::End
                       : engine::Custody::Hop;
    flow.suite = section.choice_or("suite", {"gm", "intl"}, "gm");
    flow.receiver_key = section.path("receiver_key");
    flow.readers = section.number_or("readers", flow.readers);
    if (flow.readers < 1 || flow.readers > kReadersMost) {
        throw section.refuse("readers", "1 to 64");
    }
    flow.source_limits = read_source_limits(section.section_or_empty("source_limits"));
    if (flow.source_limits.connections != 0) {
        const auto for_loads = flow.source_limits.connections - kConnectionsBesideReaders;
        flow.readers = std::min(flow.readers, for_loads);
    }
    flow.value_bytes_max = section.size_or("value_limit", flow.value_bytes_max);
    if (flow.value_bytes_max < kValueLeast || flow.value_bytes_max > model::kValueLimitMost) {
        throw section.refuse("value_limit", "1MiB to 240MiB");
    }
}

FlowConfig read_flow(Section section) {
    FlowConfig flow;
    flow.name = name_in(section, "name");
    section.call_it("flow `" + flow.name + "`");
    const auto role = section.choice("role", {"source", "target"});
    flow.role = role == "source" ? FlowRole::Source : FlowRole::Target;
    flow.peer = name_in(section, "peer");
    auto url = drivers::DataSourceUrl::parse(section.text("database"));
    if (!url) {
        throw section.refuse("database", url.error().detail());
    }
    flow.database = *std::move(url);
    flow.heartbeat = section.duration_or("heartbeat", flow.heartbeat);
    flow.names = read_names(section.section_or_empty("rename"));
    if (flow.role == FlowRole::Source) {
        read_source(section, flow);
        if (section.has("verify")) {
            flow.verify = read_verify(section.section("verify"));
        }
        if (section.has("on_error")) {
            throw section.refuse("on_error", "belongs into the file of the flow's target");
        }
        if (section.has("foreign_changes")) {
            throw section.refuse("foreign_changes", "belongs into the file of the flow's target");
        }
    } else {
        flow.create = section.flag_or("create", false);
        flow.lay_aside = section.choice_or("on_error", {"aside", "stop"}, "aside") == "aside";
        flow.report_foreign_changes =
            section.choice_or("foreign_changes", {"overwrite", "report"}, "overwrite") == "report";
        for (const auto* key :
             {"tables",
              "select",
              "mode",
              "timestamp",
              "load",
              "custody",
              "suite",
              "receiver_key",
              "readers",
              "value_limit",
              "source_limits",
              "verify"}) {
            if (section.has(key)) {
                throw section.refuse(key, "belongs into the file of the flow's source");
            }
        }
    }
    section.done();
    return flow;
}

/// What no section sees alone.
void check_whole(Section& top, const AgentConfig& config) {
    std::set<std::string> dialled;
    for (const auto& peer : config.peers) {
        if (!dialled.insert(peer.name).second || peer.name == config.node) {
            throw top.refuse("peers", fmt::format("`{}` twice, or this node itself", peer.name));
        }
    }
    for (const auto& rule : config.rates) {
        const auto is_it = [&rule](const FlowConfig& flow) {
            return flow.name == rule.flow && flow.role == FlowRole::Source;
        };
        if (!rule.flow.empty() && std::ranges::none_of(config.flows, is_it)) {
            throw top.refuse("rates", fmt::format("no flow `{}` begins here", rule.flow));
        }
        if (!rule.peer.empty() && !config.expects(rule.peer) && !dialled.contains(rule.peer)) {
            throw top.refuse("rates", fmt::format("`{}` is the peer of no flow", rule.peer));
        }
    }
    std::set<std::string> flows;
    for (const auto& flow : config.flows) {
        if (!flows.insert(flow.name).second) {
            throw top.refuse("flows", fmt::format("two flows are named `{}`", flow.name));
        }
        if (flow.peer == config.node) {
            throw top.refuse(
                "flows", fmt::format("the peer of flow `{}` is this node itself", flow.name)
            );
        }
        if (!dialled.contains(flow.peer) && !config.listen) {
            throw top.refuse(
                "flows",
                fmt::format(
                    "the peer `{}` of flow `{}` is not among `peers`, and without `listen` it "
                    "cannot connect",
                    flow.peer,
                    flow.name
                )
            );
        }
        if (flow.role == FlowRole::Target && config.wrapping_keys.empty()) {
            throw top.refuse(
                "wrapping_key",
                fmt::format("flow `{}` ends here: make one with `qiao key wrap`", flow.name)
            );
        }
    }
}

AgentConfig read(Section top) {
    AgentConfig config;
    config.node = name_in(top, "node");
    config.state = top.path("state");
    config.tls = read_tls(top.section("tls"));
    config.wrapping_keys = top.paths_or_none("wrapping_key");
    if (top.has("listen")) {
        config.listen = endpoint_in(top, "listen");
    }
    for (auto& section : top.sections("peers")) {
        config.peers.push_back(read_peer(std::move(section)));
    }
    config.status = read_status(top.section_or_empty("status"), config.state);
    config.trail = read_trail(top.section_or_empty("trail"));
    for (auto& section : top.sections("rates")) {
        config.rates.push_back(read_rate(std::move(section)));
    }
    for (auto& section : top.sections("flows")) {
        config.flows.push_back(read_flow(std::move(section)));
    }
    top.done();
    check_whole(top, config);
    return config;
}

}  // namespace

bool AgentConfig::expects(std::string_view peer) const {
    const auto is_peer = [peer](const auto& flow) { return flow.peer == peer; };
    return std::ranges::any_of(flows, is_peer);
}

Result<AgentConfig> parse_config(std::string_view yaml, const std::string& path) {
    try {
        const auto document = YAML::Load(std::string(yaml));
        return read(Section(document, path, ""));
    } catch (const Refused& refused) {
        return refused.error;
    } catch (const YAML::Exception& failure) {
        return Error(
            ErrorCode::Config,
            fmt::format("{}:{}: not YAML: {}", path, failure.mark.line + 1, failure.msg)
        );
    }
}

Task<Result<AgentConfig>> load_config(Storage& storage, std::string path) {
    constexpr size_t kConfigBytesMost = size_t{16} << 20U;
    QIAO_CO_TRY(const auto content, co_await read_file(storage, path, kConfigBytesMost));
    QIAO_CO_TRY(auto config, parse_config(as_text(content), path));
    for (auto& flow : config.flows) {
        auto resolved = co_await drivers::resolve_password(std::move(flow.database), storage);
        if (!resolved) {
            co_return resolved.error().within(fmt::format("{}: flow `{}`", path, flow.name));
        }
        flow.database = *std::move(resolved);
    }
    co_return config;
}

StreamId flow_stream(
    std::string_view flow, std::string_view source_node, std::string_view target_node
) {
    const auto text = fmt::format("flow\n{}\n{}\n{}", flow, source_node, target_node);
    const auto digest = crypto::find_suite(crypto::SuiteId::Intl)->digest({as_bytes(text)});
    return StreamId::from(digest.view().first(StreamId::kSize));
}

StreamId flow_stream(const AgentConfig& config, const FlowConfig& flow) {
    return flow.role == FlowRole::Source ? flow_stream(flow.name, config.node, flow.peer)
                                         : flow_stream(flow.name, flow.peer, config.node);
}

}  // namespace qiao::agent
