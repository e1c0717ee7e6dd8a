#include "qiao/agent/agent.h"

#include "qiao/agent/internal/collect.h"
#include "qiao/common/async/backoff.h"
#include "qiao/common/async/sleep.h"

#include <fmt/format.h>

namespace qiao::agent {
namespace {

constexpr Duration kReopenFirst = std::chrono::seconds(1);
constexpr Duration kReopenMost = std::chrono::seconds(60);
/// A node that worked so long has nothing to do with the failures before it.
constexpr Duration kSettled = std::chrono::minutes(5);

}  // namespace

Agent::Agent(Seams seams, const AgentConfig& config, const Identity& identity, std::string version)
    : seams_(seams),
      config_(config),
      identity_(identity),
      version_(std::move(version)),
      incarnation_(seams.rng.make_id<Incarnation>()),
      started_(seams.clock.now()) {}

Agent::~Agent() = default;

Task<Status> Agent::run(StopSignal& stop) {
    QIAO_CO_CHECK(co_await seams_.storage.make_folder(config_.state));
    QIAO_CO_TRY(lock_, co_await seams_.storage.lock(config_.state + "/lock"));
    Backoff backoff(kReopenFirst, kReopenMost);
    while (true) {
        node_ = std::make_unique<Node>(seams_, config_, identity_, incarnation_);
        const auto since = seams_.clock.now();
        const auto ended = co_await node_->run(stop);
        node_.reset();
        if (stop.requested()) {
            co_return Status{};
        }
        if (!ended && ended.error().info().error_class == ErrorClass::Usage) {
            co_return ended;
        }
        last_error_ = ended ? std::nullopt : std::optional(ended.error());
        if (seams_.clock.now() - since >= kSettled) {
            backoff.reset();
        }
        const auto pause = backoff.next(seams_.rng);
        (void)co_await sleep_for(seams_.executor, seams_.clock, pause, stop);
    }
}

Status Agent::retry(std::string_view flow) {
    if (node_ && node_->retry(flow)) {
        return {};
    }
    return Error(ErrorCode::AgentNoFlow, fmt::format("`{}`", flow));
}

Result<std::string> Agent::verify(VerifyRequest request) {
    if (node_) {
        for (const auto& line : node_->sources()) {
            if (line->config().name == request.flow) {
                return node_->verifications().start(*line, std::move(request));
            }
        }
    }
    return Error(ErrorCode::AgentNoFlow, fmt::format("`{}` begins not here", request.flow));
}

Result<Verification*> Agent::verification(std::string_view id) {
    auto* found = node_ ? node_->verifications().find(id) : nullptr;
    if (found == nullptr) {
        return Error(ErrorCode::VerifyNoRun, std::string(id));
    }
    return found;
}

AgentStatus Agent::status() const {
    AgentStatus status;
    status.node = config_.node;
    status.version = version_;
    status.incarnation = incarnation_;
    status.at = seams_.clock.wall_now();
    const auto now = seams_.clock.now();
    status.uptime_seconds = std::chrono::duration<double>(now - started_).count();
    status.resident_bytes = internal::resident_bytes();
    status.certificate = identity_.certificate.subject;
    status.certificate_until = identity_.certificate.not_after;
    status.last_error = last_error_;
    status.trail.condition = "closed";
    if (node_) {
        internal::collect(*node_, config_, now, status);
    }
    return status;
}

}  // namespace qiao::agent
