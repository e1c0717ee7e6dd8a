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

Agent::Agent(Seams seams, SharedSettings settings, std::string version, Load load)
    : seams_(std::move(seams)),
      settings_(std::move(settings)),
      version_(std::move(version)),
      load_(std::move(load)),
      settings_since_(seams_.clock.wall_now()),
      incarnation_(seams_.rng.make_id<Incarnation>()),
      different_(
          {seams_.storage,
           seams_.executor,
           seams_.clock,
           seams_.rng,
           settings_->config.state + "/reports"}
      ),
      started_(seams_.clock.now()) {}

Agent::~Agent() = default;

Task<Status> Agent::run(StopSignal& stop) {
    QIAO_CO_CHECK(co_await seams_.storage.make_folder(settings_->config.state));
    QIAO_CO_TRY(lock_, co_await seams_.storage.lock(settings_->config.state + "/lock"));
    Backoff backoff(kReopenFirst, kReopenMost);
    while (true) {
        StopSignal life;
        const StopSignal::Hook hook(stop, [&life] { life.request(); });
        life_ = &life;
        const auto since = seams_.clock.now();
        const auto ended = co_await run_node(life);
        auto before = std::exchange(before_, nullptr);
        if (stop.requested()) {
            life_ = nullptr;
            co_return Status{};
        }
        if (!ended && ended.error().info().error_class == ErrorClass::Usage) {
            if (!before) {
                life_ = nullptr;
                co_return ended;
            }
            reload_refused_ = ended.error();
            take(std::move(before));
            continue;
        }
        if (next_) {
            before_ = settings_;
            take(std::exchange(next_, nullptr));
            continue;
        }
        last_error_ = ended ? std::nullopt : std::optional(ended.error());
        if (seams_.clock.now() - since >= kSettled) {
            backoff.reset();
        }
        const auto pause = backoff.next(seams_.rng);
        (void)co_await sleep_for(seams_.executor, seams_.clock, pause, life);
        if (next_) {
            take(std::exchange(next_, nullptr));
        }
    }
}

Task<Status> Agent::run_node(StopSignal& life) {
    if (seams_.adopt) {
        seams_.adopt(settings_->identity);
    }
    node_ = std::make_unique<Node>(
        seams_, settings_->config, settings_->identity, incarnation_, version_, different_
    );
    auto ended = co_await node_->run(life);
    node_.reset();
    co_return ended;
}

void Agent::take(SharedSettings settings) {
    settings_ = std::move(settings);
    settings_since_ = seams_.clock.wall_now();
}

Task<Status> Agent::reload() {
    auto next = load_ ? co_await load_() : Result<SharedSettings>(Error(ErrorCode::Cancelled));
    const auto may = next ? may_replace(settings_->config, (*next)->config) : Status(next.error());
    if (!may) {
        reload_refused_ = may.error();
        co_return may;
    }
    reload_refused_.reset();
    next_ = *std::move(next);
    if (life_ != nullptr) {
        life_->request();
    }
    co_return Status{};
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
    status.node = settings_->config.node;
    status.version = version_;
    status.incarnation = incarnation_;
    status.at = seams_.clock.wall_now();
    const auto now = seams_.clock.now();
    status.uptime_seconds = std::chrono::duration<double>(now - started_).count();
    status.resident_bytes = internal::resident_bytes();
    status.certificate = settings_->identity.certificate.subject;
    status.certificate_until = settings_->identity.certificate.not_after;
    status.last_error = last_error_;
    status.settings_since = settings_since_;
    status.reload_refused = reload_refused_;
    status.trail.condition = "closed";
    if (node_) {
        internal::collect(*node_, settings_->config, now, status);
    }
    return status;
}

}  // namespace qiao::agent
