#include "qiao/agent/internal/collect.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <unistd.h>

namespace qiao::agent::internal {
namespace {

using Phase = engine::SourceFlowStatus::Phase;

double as_seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

std::string_view to_text(Phase phase) {
    switch (phase) {
        case Phase::Connecting:
            return "connecting";
        case Phase::AwaitingLoad:
            return "awaiting_load";
        case Phase::AwaitingEpoch:
            return "awaiting_epoch";
        case Phase::Creating:
            return "creating";
        case Phase::Loading:
            return "loading";
        case Phase::Indexing:
            return "indexing";
        case Phase::Following:
            return "following";
        case Phase::Retrying:
            return "retrying";
        case Phase::Failed:
            return "failed";
        case Phase::Stopped:
            break;
    }
    return "stopped";
}

std::string_view to_text(engine::CaptureStatus::State state) {
    using State = engine::CaptureStatus::State;
    switch (state) {
        case State::Starting:
            return "starting";
        case State::Moving:
            return "moving";
        case State::Idle:
            return "idle";
        case State::Retrying:
            return "retrying";
        case State::Stopped:
            break;
    }
    return "stopped";
}

std::string_view to_text(apply::ApplyState state) {
    using State = apply::ApplyState;
    switch (state) {
        case State::Idle:
            return "idle";
        case State::Applying:
            return "applying";
        case State::WaitingForLoad:
            return "waiting_for_load";
        case State::Retrying:
            return "retrying";
        case State::Paused:
            return "paused";
        case State::Stopped:
            break;
    }
    return "stopped";
}

std::string_view to_text(trail::Condition condition) {
    switch (condition) {
        case trail::Condition::Open:
            return "open";
        case trail::Condition::PushingBack:
            return "pushing_back";
        case trail::Condition::Failed:
            return "failed";
        case trail::Condition::Closed:
            break;
    }
    return "closed";
}

std::string_view to_text(link::DialerState state) {
    switch (state) {
        case link::DialerState::Connecting:
            return "connecting";
        case link::DialerState::Up:
            return "up";
        case link::DialerState::Waiting:
            return "waiting";
        case link::DialerState::Stopped:
            break;
    }
    return "stopped";
}

/// Packets of one epoch between two points.
uint64_t between(StreamPoint done, StreamPoint there) {
    if (done >= there) {
        return 0;
    }
    return done.epoch == there.epoch ? there.sequence.value - done.sequence.value
                                     : there.sequence.value;
}

template <class Line>
FlowStatus common_part(const Line& line, MonoTime now) {
    FlowStatus flow;
    flow.name = line.config().name;
    flow.peer = line.config().peer;
    flow.database = line.config().database.display();
    flow.stream = line.stream();
    flow.moving = line.movement().moving(now);
    flow.lag_bytes = line.movement().lag_bytes();
    if (const auto& out = line.movement().last_out()) {
        flow.last_out_seconds = as_seconds(now - *out);
    }
    const auto& retry = line.retry();
    flow.tries = retry.tries();
    flow.last_error = retry.error();
    flow.needs_operator = retry.needs_operator();
    if (const auto& at = retry.next_try()) {
        flow.next_try_seconds = std::max(0.0, as_seconds(*at - now));
    }
    flow.state = !retry.waiting() ? "starting" : flow.needs_operator ? "failed" : "retrying";
    return flow;
}

StageStatus capture_stage(const engine::CaptureStatus& capture) {
    StageStatus stage;
    stage.name = "capture";
    stage.state = to_text(capture.state);
    stage.point = capture.captured.point;
    stage.position = capture.captured.position.to_string();
    stage.rows = capture.counts.changes();
    stage.bytes = capture.bytes;
    stage.tries = capture.tries;
    stage.last_error = capture.last_error;
    return stage;
}

StageStatus send_stage(const SourceLine& line, StreamPoint captured) {
    const auto& sending = line.sending();
    StageStatus stage;
    stage.name = "send";
    stage.state = sending.connected ? "moving" : line.send_tries() != 0 ? "retrying" : "down";
    stage.point = sending.sent;
    stage.bytes = sending.bytes;
    stage.queue = between(std::max(sending.sent, sending.held), captured);
    stage.tries = line.send_tries();
    if (!sending.connected) {
        stage.last_error = sending.last_error;
    }
    return stage;
}

FlowStatus of(const SourceLine& line, MonoTime now, WallTime wall) {
    auto status = common_part(line, now);
    status.role = "source";
    status.rate_limit = line.rate_limit();
    status.source_usage = line.source_usage();
    status.went_back = line.sending().went_back;
    if (const auto lag = line.movement().lag(wall)) {
        status.lag_seconds = as_seconds(*lag);
    }
    StreamPoint captured;
    const auto* flow = line.flow();
    const bool alive = flow != nullptr;
    if (alive) {
        const auto& now_at = flow->status();
        status.state = to_text(now_at.phase);
        status.tries = std::max(status.tries, now_at.tries);
        if (now_at.phase == Phase::Retrying) {
            status.last_error = now_at.last_error;
        }
        const auto& load = now_at.load;
        status.load = {
            load.running,
            load.tables,
            load.parts,
            load.parts_done,
            load.rows,
            load.rows_estimated,
            load.bytes
        };
        const bool loading = now_at.phase == Phase::AwaitingLoad ||
                             now_at.phase == Phase::Creating || now_at.phase == Phase::Loading ||
                             now_at.phase == Phase::Indexing;
        if (loading) {
            status.moving = Moving::Unknown;
        }
        if (const auto* capture = flow->capture()) {
            captured = capture->status().captured.point;
            status.stages.push_back(capture_stage(capture->status()));
            status.stages.back().rows_per_second = line.rows_per_second();
        }
    }
    status.stages.push_back(send_stage(line, captured));
    status.green = status.moving == Moving::Yes && status.state == "following";
    return status;
}

StageStatus receive_stage(const engine::InboxStatus& inbox) {
    StageStatus stage;
    stage.name = "receive";
    stage.state = inbox.connected ? "moving" : "down";
    stage.point = inbox.held.point;
    stage.position = inbox.held.position.to_string();
    stage.bytes = inbox.bytes;
    stage.queue = between(inbox.held.point, inbox.received.point);
    if (!inbox.connected) {
        stage.last_error = inbox.last_error;
    }
    return stage;
}

StageStatus apply_stage(const engine::ApplyLineStatus& apply) {
    StageStatus stage;
    stage.name = "apply";
    stage.state = apply.feeding ? to_text(apply.applier.state) : "loading";
    stage.point = apply.applied.point;
    stage.position = apply.applied.position.to_string();
    stage.rows = apply.applier.rows;
    stage.rows_per_second = apply.applier.rows_per_second;
    stage.queue = apply.applier.queue;
    stage.tries = apply.applier.tries;
    stage.last_error = apply.applier.last_error;
    return stage;
}

FlowStatus of(const TargetLine& line, MonoTime now, WallTime wall) {
    auto status = common_part(line, now);
    status.role = "target";
    if (const auto lag = line.lag(wall)) {
        status.lag_seconds = as_seconds(*lag);
    }
    const auto* flow = line.flow();
    if (flow == nullptr || !flow->opened()) {
        if (!status.last_error) {
            status.last_error = line.connect_error();
        }
        return status;
    }
    const auto apply = flow->apply_status();
    status.state = apply.feeding ? "following" : "loading";
    if (!apply.feeding) {
        status.moving = Moving::Unknown;
    }
    status.divergences = apply.applier.divergences;
    status.open_errors = apply.applier.open_errors;
    status.laid_aside = apply.applier.laid_aside;
    for (const auto& state : apply.doubtful) {
        status.doubtful.push_back(
            {state.table.to_string(), std::string(drivers::name_of(state.status)), state.note}
        );
    }
    const bool trying = apply.applier.state == apply::ApplyState::Retrying ||
                        apply.applier.state == apply::ApplyState::Paused;
    if (trying) {
        status.state = "retrying";
        status.last_error = apply.applier.last_error;
        status.tries = apply.applier.tries;
    }
    if (flow->inbox() != nullptr) {
        status.stages.push_back(receive_stage(flow->inbox()->status()));
    }
    status.stages.push_back(apply_stage(apply));
    status.green = status.moving == Moving::Yes && status.state == "following" &&
                   status.laid_aside == 0 && status.doubtful.empty();
    return status;
}

LinkStatus session_part(const link::Session& session) {
    LinkStatus link;
    link.peer = session.peer().name;
    link.state = "up";
    link.address = session.peer().address.to_string();
    const auto stats = session.stats();
    if (stats.round_trip) {
        link.round_trip_ms = as_seconds(*stats.round_trip) * 1000;
    }
    link.bytes_in = stats.bytes_in;
    link.bytes_out = stats.bytes_out;
    link.rate_limit = session.rate();
    link.certificate_until = session.peer().valid_until;
    link.streams = stats.outgoing_streams + stats.incoming_streams;
    return link;
}

void collect_links(const Node& node, const AgentConfig& config, AgentStatus& status) {
    for (size_t i = 0; i < node.dialers().size(); ++i) {
        const auto& dialer = node.dialers()[i]->status();
        auto link = dialer.session != nullptr ? session_part(*dialer.session) : LinkStatus{};
        link.peer = config.peers[i].name;
        link.direction = "dialled";
        link.state = to_text(dialer.state);
        if (dialer.session == nullptr) {
            link.address = config.peers[i].address.to_string();
        }
        link.sessions = dialer.sessions;
        link.tries = dialer.tries;
        link.last_error = dialer.last_error;
        status.links.push_back(std::move(link));
    }
    if (node.acceptor() == nullptr) {
        return;
    }
    status.listening = config.listen->to_string();
    for (const auto* session : node.acceptor()->sessions()) {
        auto link = session_part(*session);
        link.direction = "accepted";
        status.links.push_back(std::move(link));
    }
    // Peers that should have come and have not.
    for (const auto& flow : config.flows) {
        const auto same = [&flow](const auto& link) { return link.peer == flow.peer; };
        if (std::ranges::none_of(status.links, same)) {
            LinkStatus link;
            link.peer = flow.peer;
            link.direction = "accepted";
            link.state = "down";
            link.last_error = node.acceptor()->stats().last_error;
            status.links.push_back(std::move(link));
        }
    }
}

ComparisonStatus of(const Verification& verification) {
    ComparisonStatus status;
    status.part = verification.request().options.part;
    status.state = "running";
    if (verification.done()) {
        static constexpr std::array kStates{"equal", "different", "unknown"};
        const auto& outcome = verification.outcome();
        status.ended_at = verification.ended_at();
        status.state =
            outcome ? kStates.at(static_cast<size_t>(outcome->report.exit_code())) : "failed";
        status.error = outcome ? std::nullopt : std::optional(outcome.error());
    }
    return status;
}

/// The newest one, and what was found different before it or before a restart.
void put_comparison(const Verifications& verifications, FlowStatus& flow) {
    const auto different = verifications.different(flow.name);
    if (const auto* newest = verifications.newest(flow.name)) {
        flow.comparison = of(*newest);
    } else if (!different.empty()) {
        flow.comparison = ComparisonStatus{.state = "different"};
    }
    for (const auto& table : different) {
        flow.comparison->different.push_back(table.to_string());
    }
    flow.green = flow.green && different.empty();
}

}  // namespace

void collect(const Node& node, const AgentConfig& config, MonoTime now, AgentStatus& status) {
    if (const auto* trail = node.trail()) {
        const auto at = trail->status();
        status.trail.condition = to_text(at.condition);
        status.trail.disk_bytes = at.disk_bytes;
        status.trail.budget_bytes = config.trail.budget_bytes;
        status.trail.segments = at.segments;
        status.trail.waiting = at.waiting_appends;
        status.trail.damage = trail->recovery().damage.size();
    }
    if (const auto* log = node.log()) {
        const auto at = log->status();
        status.transfer_log = {at.records, at.lost, at.last_error};
    }
    collect_links(node, config, status);
    for (const auto& line : node.sources()) {
        status.flows.push_back(of(*line, now, status.at));
        put_comparison(node.verifications(), status.flows.back());
    }
    for (const auto& line : node.targets()) {
        status.flows.push_back(of(*line, now, status.at));
    }
    if (status.trail.condition == to_text(trail::Condition::PushingBack)) {
        // What moved a moment ago does not move now.
        for (auto& flow : status.flows) {
            flow.green = false;
        }
    }
}

uint64_t resident_bytes() {
    // Total and resident size in pages.
    std::ifstream file("/proc/self/statm");
    uint64_t total = 0;
    uint64_t resident = 0;
    file >> total >> resident;
    return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace qiao::agent::internal
