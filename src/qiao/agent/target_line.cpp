#include "qiao/agent/target_line.h"

#include "qiao/crypto/suite.h"
#include "qiao/engine/laid_aside.h"

#include <algorithm>

namespace qiao::agent {

/// Passes everything on, and keeps in mind why connecting failed.
class TargetLine::WatchedDatabase final : public drivers::TargetDatabase {
public:
    WatchedDatabase(drivers::TargetDatabase& database, std::optional<Error>& error)
        : database_(database), error_(error) {}

    Task<Result<std::unique_ptr<drivers::TargetSession>>> connect() override {
        auto session = co_await database_.connect();
        error_ = session ? std::nullopt : std::optional(session.error());
        co_return session;
    }

    std::string display() const override { return database_.display(); }

private:
    drivers::TargetDatabase& database_;
    std::optional<Error>& error_;
};

struct TargetLine::Life {
    StopSignal stop;  ///< of the database's connections
    Target target;
    std::unique_ptr<WatchedDatabase> database;
    std::unique_ptr<engine::TargetFlow> flow;
};

TargetLine::TargetLine(
    Parts parts, const FlowConfig& config, StreamId stream, engine::KeyStore keys
)
    : parts_(std::move(parts)),
      config_(config),
      stream_(stream),
      keys_(std::move(keys)),
      retry_(parts_.executor, parts_.clock, parts_.rng),
      movement_(config.heartbeat, parts_.clock.now()) {}

TargetLine::~TargetLine() = default;

const engine::TargetFlow* TargetLine::flow() const { return life_ ? life_->flow.get() : nullptr; }

Result<std::unique_ptr<TargetLine::Life>> TargetLine::make_life() {
    auto life = std::make_unique<Life>();
    QIAO_TRY(life->target, parts_.databases.target(config_, life->stop));
    life->database = std::make_unique<WatchedDatabase>(*life->target.database, connect_error_);
    engine::TargetFlowOptions options;
    options.name = config_.name;
    options.stream = stream_;
    options.peer = config_.peer;
    options.consumer = parts_.node;
    options.may_create = config_.create;
    options.damaged_behind = damaged_behind_;
    options.apply.stream = stream_;
    options.apply.owner = parts_.incarnation;
    options.apply.names = config_.names;
    options.apply.transaction_bytes_max = config_.sizes.transaction_bytes_max;
    options.apply.laid_aside_max = config_.sizes.laid_aside_max;
    options.apply.report_foreign_changes = config_.report_foreign_changes;
    options.apply.policy =
        config_.lay_aside ? apply::DivergencePolicy::RepairLater : apply::DivergencePolicy::Stop;
    const auto suite = parts_.wrapping.front()->kind() == crypto::KeyKind::Sm2
                           ? crypto::SuiteId::Gm
                           : crypto::SuiteId::Intl;
    QIAO_TRY(
        auto seal,
        engine::LaidAsideSeal::make(
            *crypto::find_suite(suite),
            *parts_.wrapping.front()->public_key(),
            stream_,
            parts_.clock,
            parts_.rng
        )
    );
    options.apply.seal = engine::sealing(std::move(seal));
    life->flow = std::make_unique<engine::TargetFlow>(
        engine::TargetFlow::Parts{
            parts_.executor,
            parts_.clock,
            parts_.rng,
            parts_.trail,
            keys_,
            parts_.wrapping,
            *life->database,
            *life->target.structures,
            parts_.log
        },
        std::move(options)
    );
    return life;
}

Task<Status> TargetLine::live(Life& life, StopSignal& stop) {
    const auto forward = [&life] { life.stop.request(); };
    const StopSignal::Hook hook(stop, forward);
    QIAO_CO_CHECK(co_await life.flow->open(life.stop));
    co_return co_await life.flow->run(life.stop);
}

Task<void> TargetLine::run(StopSignal& stop) {
    while (!stop.requested()) {
        if (!life_) {
            auto life = make_life();
            if (!life) {
                if (!co_await retry_.after(life.error(), stop)) {
                    break;
                }
                continue;
            }
            life_ = *std::move(life);
        }
        parts_.sessions.flows()[config_.name] = life_->flow.get();
        const auto ended = co_await live(*life_, stop);
        life_->stop.request();
        damaged_behind_ = life_->flow->damaged_behind();

        // First nobody finds the flow any more, then nobody uses it, then it goes.
        auto old = std::exchange(life_, nullptr);
        parts_.sessions.flows().erase(config_.name);
        const auto error = ended ? Error(ErrorCode::Cancelled) : ended.error();
        if (!stop.requested()) {
            if (auto next = make_life()) {
                life_ = *std::move(next);
                parts_.sessions.flows()[config_.name] = life_->flow.get();
            }
        }
        if (old->flow->opened()) {
            co_await parts_.sessions.dismiss(config_.peer, error.within(config_.name));
        }
        old.reset();
        if (stop.requested() || !co_await retry_.after(error, stop)) {
            break;
        }
    }
    parts_.sessions.flows().erase(config_.name);
    life_.reset();
}

Task<Result<std::vector<model::TableName>>> TargetLine::carried_tables() {
    auto& target = life_->flow->target();
    QIAO_CO_TRY(const auto state, co_await target.state());
    std::vector<model::TableName> tables;
    for (const auto& one : state.tables) {
        tables.push_back(config_.names.target_of(one.table));
    }
    co_return tables;
}

std::optional<Duration> TargetLine::lag(WallTime now) const {
    if (newest_event_.us == 0) {
        return std::nullopt;
    }
    return std::chrono::microseconds(std::max<int64_t>(now.us - newest_event_.us, 0));
}

void TargetLine::sample() {
    const auto* flow = this->flow();
    if (flow == nullptr || !flow->opened()) {
        return;
    }
    const auto applied = flow->apply_status();
    if (applied.feeding) {
        retry_.worked();
    }
    const auto& received = flow->inbox()->status();
    newest_event_ = std::max(newest_event_, applied.newest_commit);
    const auto& heartbeat = applied.heartbeat;
    if (heartbeat && model::compare(applied.applied.position, heartbeat->position) >= 0) {
        newest_event_ = std::max(newest_event_, heartbeat->written_at);
    }
    const Movement::In in{received.alive, newest_event_, received.bytes};
    movement_.sample(parts_.clock.now(), in, applied.applied.point);
}

}  // namespace qiao::agent
