#include "qiao/engine/target_flow.h"

#include "qiao/common/async/backoff.h"
#include "qiao/common/async/sleep.h"

#include <algorithm>

namespace qiao::engine {
namespace {

/// For a sender to come back and go on from there.
constexpr Duration kAskAgainMost = std::chrono::minutes(2);

}  // namespace

TargetFlow::TargetFlow(Parts parts, TargetFlowOptions options)
    : parts_(parts),
      options_(std::move(options)),
      apply_(
          {parts.executor,
           parts.clock,
           parts.rng,
           parts.trail,
           parts.keys,
           parts.receivers,
           parts.database,
           parts.log},
          options_.apply,
          [this](const ChainTip& tip) { applied(tip); },
          [this] { may_apply_.set(); }
      ),
      may_apply_(parts.executor) {}

void TargetFlow::applied(const ChainTip& tip) {
    if (inbox_) {
        inbox_->applied(tip);
    }
    if (options_.on_applied) {
        options_.on_applied(tip);
    }
}

Task<Status> TargetFlow::open(StopSignal& stop) {
    Backoff backoff;
    while (true) {
        const auto opened = co_await open_once(stop);
        if (opened || !opened.error().transient() || stop.requested()) {
            co_return opened;
        }
        const auto pause = backoff.next(parts_.rng);
        QIAO_CO_CHECK(co_await sleep_for(parts_.executor, parts_.clock, pause, stop));
    }
}

Task<Status> TargetFlow::open_once(StopSignal& stop) {
    QIAO_CO_CHECK(co_await apply_.open());
    const auto held_after = parts_.trail.held_after(options_.stream);
    QIAO_CO_CHECK(co_await parts_.keys.remove_unused(held_after));
    if (!options_.peer.empty()) {
        const bool asks_again = options_.damaged_behind == apply_.tip().point;
        QIAO_CO_TRY(auto tip, asks_again ? apply_.tip() : co_await held_tip(stop));
        inbox_ = std::make_unique<InboxLine>(
            parts_.executor,
            parts_.trail,
            parts_.keys,
            options_.stream,
            std::move(tip),
            options_.consumer,
            parts_.log
        );
        inbox_->applied(apply_.tip());
        if (asks_again) {
            inbox_->ask_again();
        }
    }
    target_ = std::make_unique<LocalTarget>(LocalTarget::Parts{
        parts_.database,
        parts_.structures,
        apply_.applier(),
        stop,
        options_.stream,
        [this] { return inbox_ ? inbox_->tip() : apply_.tip(); },
        [this] { may_apply_.set(); },
        options_.may_create
    });
    if (is_loaded()) {
        may_apply_.set();
    }
    co_return Status{};
}

bool TargetFlow::is_loaded() {
    const auto states = apply_.applier().table_states();
    const auto live = [](const auto& state) { return state.status >= drivers::TableStatus::Live; };
    return !states.empty() && std::ranges::all_of(states, live);
}

/// What this side holds: the inbox's last packet, or the checkpoint: when the trail has less than
/// the target has committed (a lost state folder), or nothing that joins it (a target's database
/// that was put back further than the grace). Source: rules 8
Task<Result<ChainTip>> TargetFlow::held_tip(StopSignal& stop) {
    const auto committed = apply_.tip();
    QIAO_CO_CHECK(co_await parts_.trail.sync());  // only durable records can be read back
    const auto tail = parts_.trail.tail(options_.stream);
    if (tail && *tail > committed.point) {
        const auto record = co_await parts_.trail.find(options_.stream, *tail);
        const bool joins = co_await is_kept_behind(committed.point);
        if (record && joins) {
            QIAO_CO_TRY(const auto view, packet::PacketView::parse(record->payload()));
            co_return tip_of(view);
        }
        if (!record) {
            QIAO_CO_CHECK(co_await may_start_again(record.error(), committed.point, stop));
        }
    }
    if (tail.value_or(StreamPoint{}) != committed.point) {
        QIAO_CO_CHECK(co_await parts_.trail.restart(options_.stream, committed.point));
    }
    co_return committed;
}

/// False: it was removed as applied, and what is left behind it cannot be applied without it. The
/// sender replays what it keeps, or says that a new epoch is needed.
Task<bool> TargetFlow::is_kept_behind(StreamPoint point) {
    auto cursor = parts_.trail.read(options_.stream, point);
    const auto next = co_await cursor.try_next();
    co_return next || !next.error().is(ErrorCode::TrailGone);
}

/// Whether nothing readable is given up when the sender is asked for all behind `committed` again.
/// What cannot be read just now was acknowledged, and stays; what can be read in front of damage is
/// applied first, and the next life asks for the rest. While a first load is missing nothing may be
/// applied, and the sender has it or tells. Source: rules 8, 9
Task<Status> TargetFlow::may_start_again(Error why, StreamPoint committed, StopSignal& stop) {
    if (!why.is(ErrorCode::TrailDamaged)) {
        co_return why.is(ErrorCode::TrailGone) ? Status{} : Status(why);
    }
    if (!is_loaded()) {
        damaged_behind_ = committed;
        co_return why;
    }
    const auto ended = co_await apply(stop);
    co_return ended ? Status(why) : ended;
}

/// Notes what it stands before when it meets damage.
Task<Status> TargetFlow::apply(StopSignal& stop) {
    const auto ended = co_await apply_.run(stop);
    if (!ended && ended.error().is(ErrorCode::TrailDamaged)) {
        damaged_behind_ = apply_.tip().point;
    }
    co_return ended;
}

/// Not for ever: the damage may have been mended meanwhile.
Task<Status> TargetFlow::wait_until_it_came_again(StopSignal& stop) {
    StopSignal enough;
    const auto wake = [this] { inbox_->came_again().pulse(); };
    const StopSignal::Hook hook(stop, wake);
    const auto timer = parts_.clock.make_timer();
    timer->start(parts_.clock.now() + kAskAgainMost, [&] {
        enough.request();
        wake();
    });
    while (inbox_->asks_again() && !stop.requested() && !enough.requested()) {
        co_await inbox_->came_again().wait();
    }
    if (stop.requested()) {
        co_return Error(ErrorCode::Cancelled);
    }
    if (inbox_->asks_again()) {
        co_return Error(ErrorCode::TrailDamaged, "asked for again, and it does not come");
    }
    co_return Status{};
}

Task<void> TargetFlow::run_inbox(Status& ended, TaskScope& scope) {
    ended = co_await inbox_->run(scope.stop());
    scope.request_stop();
}

Task<Status> TargetFlow::run(StopSignal& stop) {
    TaskScope scope(parts_.executor);
    const auto forward = [this, &scope] {
        scope.request_stop();
        may_apply_.pulse();
    };
    StopSignal::Hook hook(stop, forward);
    Status received;
    if (inbox_) {
        scope.spawn(run_inbox(received, scope));
    }
    auto applied = Status{};
    if (inbox_ && inbox_->asks_again()) {
        applied = co_await wait_until_it_came_again(scope.stop());
    }
    while (applied && !may_apply_.is_set() && !scope.stop().requested()) {
        co_await may_apply_.wait();
    }
    if (applied && !scope.stop().requested()) {
        applied = co_await apply(scope.stop());
    }
    scope.request_stop();
    co_await scope.join();
    if (stop.requested()) {
        co_return Status{};
    }
    if (!applied && !applied.error().is(ErrorCode::Cancelled)) {
        co_return applied;
    }
    co_return received;
}

Task<Status> TargetFlow::settle() {
    auto seen = ChainTip{};
    while (inbox_ && inbox_->tip() != seen) {
        seen = inbox_->tip();
        QIAO_CO_CHECK(co_await parts_.trail.sync());
    }
    co_return Status{};
}

Task<void> TargetFlow::serve(link::IncomingStream& incoming, OfferMetadata::Role role) {
    if (role == OfferMetadata::Role::Log) {
        co_await inbox_->serve(incoming);
        co_return;
    }
    const auto loaded = co_await receive_part(incoming);
    if (!loaded) {
        incoming.refuse(loaded.error());
    }
}

/// One load part: schema first, then chunks, straight into the target. Acknowledged as applied
/// when its transaction has committed; a part that breaks off leaves nothing.
Task<Status> TargetFlow::receive_part(link::IncomingStream& incoming) {
    QIAO_CO_TRY(const auto metadata, OfferMetadata::decode(incoming.offer().metadata));
    packet::KeyRing ring(parts_.receivers);
    for (const auto& wire : metadata.key_packets) {
        QIAO_CO_TRY(const auto view, packet::PacketView::parse(wire));
        QIAO_CO_CHECK(ring.add(view));
    }
    incoming.accept({});
    ChainTip tip;
    capture::LoadPart part;
    std::unique_ptr<FlowTarget::Part> writer;
    while (true) {
        QIAO_CO_TRY(const auto packet, co_await incoming.receive());
        QIAO_CO_TRY(const auto view, packet::PacketView::parse(packet.packet));
        QIAO_CO_TRY(const auto verdict, admit(tip, incoming.offer().stream, view));
        if (verdict != Verdict::Next) {
            co_return Error(ErrorCode::EngineOutOfChain, "a load packet came twice");
        }
        QIAO_CO_TRY(tip, tip_of(view));
        QIAO_CO_TRY(const auto body, ring.open(view));
        if (view.origin.kind == packet::Kind::Schema) {
            QIAO_CO_TRY(auto schemas, packet::SchemaBody::decode(body));
            if (schemas.schemas.size() != 1) {
                co_return Error(ErrorCode::PacketMalformed, "a load part has one schema");
            }
            part.schema = std::move(schemas.schemas.front());
        } else {
            QIAO_CO_TRY(const auto chunk, packet::LoadChunkBody::decode(body));
            if (chunk.schema != part.schema.id()) {
                co_return Error(ErrorCode::PacketMalformed, "a load chunk of another schema");
            }
            if (!writer) {
                part.number = chunk.part;
                part.parts = chunk.parts;
                LoadSession session;
                session.generation = view.origin.generation;
                session.joined_at = chunk.joined_at;
                const auto format = static_cast<drivers::LoadFormat>(chunk.format);
                QIAO_CO_TRY(writer, co_await target_->open_part(part, format, session));
            }
            QIAO_CO_CHECK(co_await writer->write(
                {to_bytes(chunk.rows), chunk.row_count, chunk.last, to_bytes(chunk.withheld)}
            ));
            if (chunk.last) {
                QIAO_CO_CHECK(co_await writer->finish());
                parts_.log.record(HandOverKind::Loaded, view, packet.packet.size());
                incoming.acknowledge(
                    {{link::AckLevel::Applied, options_.consumer, tip.point, tip.digest}, {}}
                );
            }
        }
        incoming.return_credit(packet.cost);
    }
}

}  // namespace qiao::engine
