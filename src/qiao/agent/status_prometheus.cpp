#include "qiao/agent/status.h"

#include <fmt/format.h>

#include <initializer_list>
#include <utility>

namespace qiao::agent {
namespace {

using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

std::string escaped(std::string_view value) {
    std::string text;
    for (const char c : value) {
        if (c == '\\' || c == '"') {
            text += '\\';
        }
        text += c == '\n' ? std::string("\\n") : std::string(1, c);
    }
    return text;
}

/// Gathers the samples of one metric behind its two head lines.
class Exposition {
public:
    void metric(std::string_view name, std::string_view type, std::string_view help) {
        name_ = name;
        text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
    }

    template <class Number>
    void sample(Labels labels, Number value) {
        std::string inside;
        for (const auto& [key, label] : labels) {
            inside += fmt::format("{}{}=\"{}\"", inside.empty() ? "" : ",", key, escaped(label));
        }
        const auto braces = inside.empty() ? inside : "{" + inside + "}";
        text_ += fmt::format("{}{} {}\n", name_, braces, value);
    }

    std::string take() && { return std::move(text_); }

private:
    std::string name_;
    std::string text_;
};

void put_node(Exposition& out, const AgentStatus& status) {
    out.metric("qiao_info", "gauge", "Version and name of the node.");
    out.sample({{"node", status.node}, {"version", status.version}}, 1);
    out.metric("qiao_uptime_seconds", "gauge", "Since the start of the process.");
    out.sample({}, status.uptime_seconds);
    out.metric("qiao_resident_bytes", "gauge", "Resident memory of the process.");
    out.sample({}, status.resident_bytes);
    out.metric(
        "qiao_certificate_not_after_seconds", "gauge", "Unix time of the certificate's end."
    );
    out.sample({}, status.certificate_until.us / 1'000'000);
    out.metric("qiao_trail_bytes", "gauge", "Disk used by the trail.");
    out.sample({}, status.trail.disk_bytes);
    out.metric("qiao_trail_budget_bytes", "gauge", "Disk that the trail may use; 0: no budget.");
    out.sample({}, status.trail.budget_bytes);
    out.metric("qiao_trail_nearly_full", "gauge", "1 while four fifths of the budget are used.");
    out.sample({}, nearly_full(status.trail) ? 1 : 0);
    out.metric("qiao_trail_pushing_back", "gauge", "1 while the budget is used up.");
    out.sample({}, status.trail.condition == "pushing_back" ? 1 : 0);
    out.metric("qiao_trail_damage", "gauge", "Places of the trail that cannot be read.");
    out.sample({}, status.trail.damage);
    out.metric("qiao_transfer_log_records_total", "counter", "Records taken.");
    out.sample({}, status.transfer_log.records);
    out.metric("qiao_transfer_log_lost_total", "counter", "Records that found no room.");
    out.sample({}, status.transfer_log.lost);
}

void put_links(Exposition& out, const AgentStatus& status) {
    const auto each = [&](auto&& value) {
        for (const auto& link : status.links) {
            value(link, {{"peer", link.peer}, {"direction", link.direction}});
        }
    };
    out.metric("qiao_link_up", "gauge", "1 while the link is up.");
    each([&](const LinkStatus& link, Labels labels) {
        out.sample(labels, link.state == "up" ? 1 : 0);
    });
    out.metric("qiao_link_round_trip_seconds", "gauge", "Of the last ping.");
    each([&](const LinkStatus& link, Labels labels) {
        if (link.round_trip_ms) {
            out.sample(labels, *link.round_trip_ms / 1000);
        }
    });
    out.metric("qiao_link_received_bytes", "gauge", "Of the present session.");
    each([&](const LinkStatus& link, Labels labels) { out.sample(labels, link.bytes_in); });
    out.metric("qiao_link_sent_bytes", "gauge", "Of the present session.");
    each([&](const LinkStatus& link, Labels labels) { out.sample(labels, link.bytes_out); });
    out.metric("qiao_link_tries", "gauge", "Failed tries in a row.");
    each([&](const LinkStatus& link, Labels labels) { out.sample(labels, link.tries); });
}

template <class Each>
void put_source_usage(Exposition& out, const Each& each) {
    const auto put = [&](std::string_view name, std::string_view help, auto&& value) {
        out.metric(name, "gauge", help);
        each([&](const FlowStatus& flow, Labels labels) {
            if (flow.source_usage) {
                out.sample(labels, value(*flow.source_usage));
            }
        });
    };
    using Usage = drivers::SourceUsage;
    put("qiao_source_connections", "Open at the source for the flow.", [](const Usage& usage) {
        return usage.connections;
    });
    put("qiao_source_connections_limit", "That may be open; 0: any.", [](const Usage& usage) {
        return usage.limits.connections;
    });
    put("qiao_source_rows_per_second",
        "Read by loads and comparisons in the last second.",
        [](const Usage& usage) { return usage.rows_per_second; });
    put("qiao_source_longest_statement_seconds",
        "Of all statements of the flow.",
        [](const Usage& usage) {
            return std::chrono::duration<double>(usage.longest_statement).count();
        });
}

void put_flows(Exposition& out, const AgentStatus& status) {
    const auto each = [&](auto&& value) {
        for (const auto& flow : status.flows) {
            value(flow, {{"flow", flow.name}, {"role", flow.role}});
        }
    };
    out.metric("qiao_flow_green", "gauge", "1: it moves and nothing is open.");
    each([&](const FlowStatus& flow, Labels labels) { out.sample(labels, flow.green ? 1 : 0); });
    out.metric("qiao_flow_moving", "gauge", "1: heartbeats come out; 0: they do not; -1: unknown.");
    each([&](const FlowStatus& flow, Labels labels) {
        const int value = flow.moving == Moving::Yes ? 1 : flow.moving == Moving::No ? 0 : -1;
        out.sample(labels, value);
    });
    out.metric("qiao_flow_lag_seconds", "gauge", "Age of the newest change that came out.");
    each([&](const FlowStatus& flow, Labels labels) {
        if (flow.lag_seconds) {
            out.sample(labels, *flow.lag_seconds);
        }
    });
    put_source_usage(out, each);
    out.metric("qiao_flow_lag_bytes", "gauge", "Gone in and not come out.");
    each([&](const FlowStatus& flow, Labels labels) { out.sample(labels, flow.lag_bytes); });
    out.metric("qiao_flow_divergences_total", "counter", "Rows that were not as the source said.");
    each([&](const FlowStatus& flow, Labels labels) { out.sample(labels, flow.divergences); });
    out.metric(
        "qiao_flow_went_back_total", "counter", "Times the peer held less than it had acknowledged."
    );
    each([&](const FlowStatus& flow, Labels labels) { out.sample(labels, flow.went_back); });
    out.metric("qiao_flow_laid_aside", "gauge", "Changes that wait at the target.");
    each([&](const FlowStatus& flow, Labels labels) { out.sample(labels, flow.laid_aside); });
    out.metric("qiao_flow_open_errors", "gauge", "Names of rows behind which changes wait.");
    each([&](const FlowStatus& flow, Labels labels) { out.sample(labels, flow.open_errors); });
    out.metric(
        "qiao_flow_doubtful_tables", "gauge", "Tables that are unproven, paused or need a resync."
    );
    each([&](const FlowStatus& flow, Labels labels) { out.sample(labels, flow.doubtful.size()); });
    out.metric("qiao_flow_needs_operator", "gauge", "1: waits for `qiao status --retry`.");
    each([&](const FlowStatus& flow, Labels labels) {
        out.sample(labels, flow.needs_operator ? 1 : 0);
    });
    out.metric("qiao_flow_tries", "gauge", "Failed tries in a row.");
    each([&](const FlowStatus& flow, Labels labels) { out.sample(labels, flow.tries); });
}

void put_stages(Exposition& out, const AgentStatus& status) {
    const auto each = [&](auto&& value) {
        for (const auto& flow : status.flows) {
            for (const auto& stage : flow.stages) {
                value(stage, {{"flow", flow.name}, {"stage", stage.name}});
            }
        }
    };
    out.metric("qiao_stage_rows_total", "counter", "Changes since the start.");
    each([&](const StageStatus& stage, Labels labels) { out.sample(labels, stage.rows); });
    out.metric("qiao_stage_bytes_total", "counter", "Bytes of packets since the start.");
    each([&](const StageStatus& stage, Labels labels) { out.sample(labels, stage.bytes); });
    out.metric("qiao_stage_sequence", "gauge", "Sequence of the newest packet of the epoch.");
    each([&](const StageStatus& stage, Labels labels) {
        out.sample(labels, stage.point.sequence.value);
    });
    out.metric("qiao_stage_queue", "gauge", "What waits before the stage.");
    each([&](const StageStatus& stage, Labels labels) { out.sample(labels, stage.queue); });
}

}  // namespace

std::string to_prometheus(const AgentStatus& status) {
    Exposition out;
    put_node(out, status);
    put_links(out, status);
    put_flows(out, status);
    put_stages(out, status);
    return std::move(out).take();
}

}  // namespace qiao::agent
