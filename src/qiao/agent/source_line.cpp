#include "qiao/agent/source_line.h"

#include "qiao/common/async/sleep.h"
#include "qiao/crypto/suite.h"

#include <algorithm>

namespace qiao::agent {
namespace {

/// Of a comparison that waits for the target.
constexpr Duration kLookEvery = std::chrono::milliseconds(20);
constexpr Duration kOfferPauseFirst = std::chrono::seconds(1);
/// Until an offer that brought nothing new is repeated: who mends the other end sees it go on soon.
constexpr Duration kOfferPauseMost = std::chrono::seconds(10);
/// Of the newest second in the rate that is shown.
constexpr double kRateWeight = 0.3;

}  // namespace

SourceLine::SourceLine(
    Parts parts, const FlowConfig& config, StreamId stream, engine::KeyStore keys
)
    : parts_(std::move(parts)),
      config_(config),
      stream_(stream),
      keys_(std::move(keys)),
      pacer_(parts_.executor, parts_.clock),
      target_(parts_.executor, remote()),
      send_(
          parts_.executor,
          parts_.trail,
          keys_,
          stream,
          config.name,
          [this](const link::LevelPoint& reached) { return acknowledged(reached); },
          parts_.log,
          &pacer_
      ),
      retry_(parts_.executor, parts_.clock, parts_.rng),
      movement_(config.heartbeat, parts_.clock.now()),
      woken_(parts_.executor) {}

engine::RemoteTarget::Parts SourceLine::remote() {
    engine::RemoteTarget::Parts parts{
        parts_.clock,
        parts_.rng,
        config_.name,
        *crypto::find_suite(config_.suite),
        {parts_.receiver}
    };
    parts.pacer = &pacer_;
    return parts;
}

engine::SourceFlowOptions SourceLine::options() const {
    engine::SourceFlowOptions options;
    options.name = config_.name;
    options.node = parts_.node;
    options.release = parts_.release;
    options.stream = stream_;
    options.tables = config_.tables;
    options.renamed = config_.names.table_names();
    options.create = config_.create;
    options.carried = config_.carried;
    options.existing = config_.existing;
    options.reopen = reopen_;
    options.custody = config_.custody;
    options.suite = crypto::find_suite(config_.suite);
    options.receivers = {parts_.receiver};
    options.packet_bytes = config_.sizes.packet_bytes;
    options.load.readers = config_.readers;
    options.load.names = config_.names;
    return options;
}

Task<void> SourceLine::run(StopSignal& stop) {
    while (!stop.requested()) {
        const auto ended = co_await run_once(stop);
        if (stop.requested()) {
            co_return;
        }
        const auto error = ended ? Error(ErrorCode::Cancelled) : ended.error();
        if (!co_await retry_.after(error, stop)) {
            co_return;
        }
    }
}

Task<Status> SourceLine::run_once(StopSignal& stop) {
    StopSignal life;
    const auto forward = [&life] { life.request(); };
    const StopSignal::Hook hook(stop, forward);
    QIAO_CO_TRY(const auto source, parts_.databases.source(config_, life));
    engine::SourceFlow flow(
        {parts_.executor,
         parts_.clock,
         parts_.rng,
         parts_.trail,
         keys_,
         *source,
         target_,
         parts_.log},
        options()
    );
    Life here{*source, life};
    ++lives_;
    flow_ = &flow;
    life_ = &here;
    Status custody;
    Status ended;
    {
        TaskScope scope(parts_.executor);
        const auto stop_all = [this, &scope] {
            scope.request_stop();
            woken_.pulse();
        };
        const StopSignal::Hook until(life, stop_all);
        scope.spawn(pass_custody(flow, custody, scope));
        ended = co_await flow.run(scope.stop());
        stop_all();
        co_await scope.join();
    }
    life.request();
    life_ = nullptr;
    while (here.guests != 0) {
        co_await woken_.wait();
    }
    flow_ = nullptr;
    QIAO_CO_CHECK(custody);
    if (const auto refused = std::exchange(went_back_, std::nullopt)) {
        co_return *refused;
    }
    co_return ended;
}

/// Someone who uses a life of the flow; its end is requested to stop then.
class SourceLine::Guest {
public:
    Guest(SourceLine& line, StopSignal& stop)
        : line_(line),
          life_(*line.life_),
          by_caller_(stop, [this] { stop_.request(); }),
          by_life_(life_.stop, [this] { stop_.request(); }) {
        ++life_.guests;
    }

    Guest(const Guest&) = delete;
    Guest& operator=(const Guest&) = delete;

    ~Guest() {
        --life_.guests;
        line_.woken_.pulse();
    }

    StopSignal& stop() { return stop_; }

    capture::DataSource& source() { return life_.source; }

private:
    SourceLine& line_;
    Life& life_;
    StopSignal stop_;
    StopSignal::Hook by_caller_;
    StopSignal::Hook by_life_;
};

Task<Result<model::SourcePosition>> SourceLine::position(StopSignal& stop) {
    if (life_ == nullptr) {
        co_return Error(ErrorCode::EngineNotFollowing, config_.name);
    }
    Guest guest(*this, stop);
    co_return co_await guest.source().flushed_position();
}

Task<Status> SourceLine::wait_applied(
    model::SourcePosition position, Deadline deadline, StopSignal& stop
) {
    if (life_ == nullptr) {
        co_return Error(ErrorCode::EngineNotFollowing, config_.name);
    }
    Guest guest(*this, stop);
    if (config_.timed) {
        // The comparison knows the database's log; the stream goes by polls.
        QIAO_CO_TRY(position, co_await guest.source().flushed_position());
    }
    QIAO_CO_CHECK(co_await guest.source().beat(stream_));
    std::optional<StreamPoint> goal;
    while (!goal || applied_ < *goal) {
        const auto* capture = flow_->capture();
        if (!goal && capture != nullptr &&
            model::compare(capture->status().captured.position, position) >= 0) {
            goal = capture->status().captured.point;
            continue;
        }
        if (deadline.passed(parts_.clock.now())) {
            co_return Error(
                ErrorCode::DeadlinePassed,
                goal ? "the target has not applied it yet" : "the source has not delivered it yet"
            );
        }
        QIAO_CO_CHECK(co_await sleep_for(parts_.executor, parts_.clock, kLookEvery, guest.stop()));
    }
    co_return Status{};
}

/// The sequences are read after the rows: the numbers that rows use were given before.
Task<Result<SourceLine::Settled>> SourceLine::settle(Deadline deadline, StopSignal& stop) {
    if (!following()) {
        co_return Error(ErrorCode::EngineNotFollowing, config_.name);
    }
    Guest guest(*this, stop);
    Settled settled;
    settled.life = lives_;
    QIAO_CO_TRY(settled.at, co_await guest.source().flushed_position());
    QIAO_CO_CHECK(co_await wait_applied(settled.at, deadline, guest.stop()));
    const auto* capture = flow_->capture();
    if (capture == nullptr) {
        co_return Error(ErrorCode::EngineNotFollowing, config_.name);
    }
    settled.changes = capture->status().counts.changes();
    settled.open = capture->open_ahead();
    auto tables = flow_->status().tables;
    QIAO_CO_TRY(
        auto sequences, co_await guest.source().sequences(std::move(tables), config_.names)
    );
    settled.left_out = std::move(sequences.left_out);
    if (!sequences.values.empty()) {
        QIAO_CO_TRY(
            settled.sequences, co_await target_.advance_sequences(std::move(sequences.values))
        );
    }
    co_return settled;
}

Task<Result<engine::SourceFlow::Repaired>> SourceLine::repair(
    drivers::TableReader& reader, verify::RepairList list, StopSignal& stop
) {
    if (life_ == nullptr) {
        co_return Error(ErrorCode::EngineNotFollowing, config_.name);
    }
    Guest guest(*this, stop);
    co_return co_await flow_->repair(reader, std::move(list), guest.stop());
}

void SourceLine::reopen() {
    // A flow also follows its source while it cannot send what rots in its trail.
    const auto& sent = sending();
    const bool rotten =
        !sent.connected && sent.last_error && sent.last_error->is(ErrorCode::TrailDamaged);
    if (following() && !rotten) {
        return;
    }
    reopen_ = true;
    if (life_ != nullptr) {
        life_->stop.request();  // it may be waiting between two tries
    }
    retry_.now();
}

/// What is sent does not join what the target has any more. The flow's next start asks the target,
/// and stops with this error or, if an operator wishes that, begins a new epoch. Source: rules 8
void SourceLine::begin_again(const Error& why) {
    if (life_ != nullptr) {
        went_back_ = why;
        life_->stop.request();
    }
}

Task<Status> SourceLine::prove(
    model::TableName table, model::SourcePosition position, StopSignal& stop
) {
    if (life_ == nullptr) {
        co_return Error(ErrorCode::EngineNotFollowing, config_.name);
    }
    Guest guest(*this, stop);
    QIAO_CO_TRY(
        const bool told, co_await flow_->prove(std::move(table), std::move(position), guest.stop())
    );
    (void)told;  // an agent goes on, and so does its stream
    co_return Status{};
}

/// The trail knows the consumer and holds what was acknowledged; what it knows already, or never
/// had, is not passed on.
bool SourceLine::may_pass(StreamPoint point) const {
    const auto tail = parts_.trail.durable_tail(stream_);
    if (!tail || *tail < point) {
        return false;
    }
    const auto consumers = parts_.trail.consumers(stream_);
    const auto custody =
        std::ranges::find(consumers, engine::kCustodyConsumer, &trail::Consumer::name);
    return custody != consumers.end() && custody->released < point;
}

Task<void> SourceLine::pass_custody(engine::SourceFlow& flow, Status& ended, TaskScope& scope) {
    while (!scope.stop().requested()) {
        const bool hop = config_.custody == engine::Custody::Hop;
        const auto point = hop ? held_ : applied_;
        if (flow.capture() == nullptr || !may_pass(point)) {
            co_await woken_.wait();
            continue;
        }
        ended = co_await flow.acknowledged(config_.custody, point);
        if (!ended) {
            scope.request_stop();
            co_return;
        }
    }
}

Task<Status> SourceLine::acknowledged(link::LevelPoint reached) {
    auto& mark = reached.level == link::AckLevel::Held ? held_ : applied_;
    mark = std::max(mark, reached.point);
    // What is applied is held too, whatever a receiver says of it.
    held_ = std::max(held_, applied_);
    if (flow_ != nullptr && reached.level != link::AckLevel::Held) {
        flow_->applied(reached.point);
    }
    woken_.pulse();
    co_return Status{};
}

Task<void> SourceLine::serve(link::Session& session) {
    target_.use(session);
    Backoff backoff(kOfferPauseFirst, kOfferPauseMost);
    while (!session.stop().requested()) {
        const auto held = send_.status().held;
        const auto error = co_await send_.run(session);
        if (session.stop().requested()) {
            break;
        }
        // Before it follows, the flow itself finds out by what the target says.
        const bool forked = error.is(ErrorCode::EngineForked) && following();
        if (forked || error.is(ErrorCode::EngineCustodyWentBack)) {
            begin_again(error);
        }
        if (send_.status().held > held) {
            backoff.reset();
            send_tries_ = 0;
        }
        ++send_tries_;
        const auto pause = backoff.next(parts_.rng);
        (void)co_await sleep_for(parts_.executor, parts_.clock, pause, session.stop());
    }
    co_await target_.release();
    send_tries_ = 0;
    serving_ = false;
}

void SourceLine::sample() {
    if (parts_.rates != nullptr) {
        const auto minute = minute_of_day(parts_.clock.wall_now());
        pacer_.set_rate(flow_rate_at(*parts_.rates, config_.name, minute));
    }
    // Capture may have begun since the last acknowledgement came.
    woken_.pulse();
    if (flow_ == nullptr) {
        return;
    }
    const bool follows = flow_->status().phase == engine::SourceFlowStatus::Phase::Following;
    const bool ends = life_ != nullptr && life_->stop.requested();
    reopen_ = reopen_ && (!follows || ends);
    if (const auto* capture = flow_->capture()) {
        const auto& status = capture->status();
        if (follows && status.state == engine::CaptureStatus::State::Moving) {
            retry_.worked();
        }
        const Movement::In in{status.alive, status.last_event, status.bytes};
        const auto now = parts_.clock.now();
        movement_.sample(now, in, applied_);
        const auto rows = status.counts.changes();
        const auto fresh = rows < rows_ ? 0 : rows - rows_;
        rows_ = rows;
        const auto seconds = std::chrono::duration<double>(now - std::exchange(sampled_, now));
        if (seconds.count() > 0) {
            const auto rate = static_cast<double>(fresh) / seconds.count();
            rows_per_second_ += (rate - rows_per_second_) * kRateWeight;
        }
    }
}

}  // namespace qiao::agent
