#include "qiao/engine/send_line.h"

#include "qiao/common/plant.h"
#include "qiao/engine/offer.h"
#include "qiao/packet/header.h"

#include <fmt/format.h>

namespace qiao::engine {

SendLine::SendLine(
    Executor& executor,
    trail::Trail& trail,
    const KeyStore& keys,
    StreamId stream,
    std::string flow,
    OnAcknowledged on_acknowledged,
    FlowLog log,
    Pacer* pacer
)
    : executor_(executor),
      trail_(trail),
      keys_(keys),
      stream_(stream),
      flow_(std::move(flow)),
      on_acknowledged_(std::move(on_acknowledged)),
      log_(std::move(log)),
      pacer_(pacer) {}

/// The point after which to send. What the receiver holds must be a packet of ours, byte for byte.
/// One that was restored and states less gets it again as long as the trail still has it.
Task<Result<StreamPoint>> SendLine::agree_on_start(const link::StreamState& state) {
    const auto removed = trail_.held_after(stream_);
    if (state.held < removed) {
        co_return Error(
            ErrorCode::EngineCustodyWentBack,
            fmt::format(
                "the receiver holds epoch {} sequence {}, but everything up to epoch {} sequence "
                "{} "
                "was acknowledged and removed here",
                state.held.epoch.value,
                state.held.sequence.value,
                removed.epoch.value,
                removed.sequence.value
            )
        );
    }
    if (state.held == removed) {
        co_return state.held;  // not held here any more, and nothing behind it is missing
    }
    const auto record = co_await trail_.find(stream_, state.held);
    if (!record && record.error().is(ErrorCode::TrailOutOfOrder)) {
        co_return Error(
            ErrorCode::EngineForked,
            fmt::format(
                "the receiver holds epoch {} sequence {}, which was never sent from here",
                state.held.epoch.value,
                state.held.sequence.value
            )
        );
    }
    if (!record) {
        co_return record.error();
    }
    QIAO_CO_TRY(const auto view, packet::PacketView::parse(record->payload()));
    QIAO_CO_TRY(const auto digest, view.digest());
    if (digest != state.digest && !is_planted(Plant::OtherContentAdmitted)) {
        co_return Error(
            ErrorCode::EngineForked,
            fmt::format(
                "epoch {} sequence {} differs at the receiver",
                state.held.epoch.value,
                state.held.sequence.value
            )
        );
    }
    co_return state.held;
}

Task<Status> SendLine::send_all(link::OutgoingStream& outgoing, StopSignal& stop) {
    QIAO_CO_TRY(const auto state, co_await outgoing.state());
    QIAO_CO_TRY(const auto start, co_await agree_on_start(state));
    if (state.held < status_.held) {
        ++status_.went_back;
        status_.held = state.held;
    }
    const link::LevelPoint held{link::AckLevel::Held, "", state.held, state.digest};
    QIAO_CO_CHECK(co_await took(held));
    for (const auto& point : state.points) {
        QIAO_CO_CHECK(co_await took(point));
    }
    const bool late = is_planted(Plant::ResumeOneLate) && start != StreamPoint{};
    auto cursor =
        trail_.read(stream_, late ? StreamPoint{start.epoch, start.sequence.next()} : start);
    status_.connected = true;
    while (true) {
        QIAO_CO_TRY(const auto record, co_await cursor.next(stop));
        QIAO_CO_TRY(const auto packet, packet::PacketView::parse(record.payload()));
        if (pacer_ != nullptr) {
            QIAO_CO_CHECK(co_await pacer_->earn(record.payload().size(), stop));
        }
        QIAO_CO_CHECK(co_await outgoing.send(record.point(), to_bytes(record.payload())));
        log_.record(HandOverKind::Sent, packet, record.payload().size());
        status_.sent = record.point();
        ++status_.packets;
        status_.bytes += record.payload().size();
    }
}

Task<Status> SendLine::took(const link::LevelPoint& reached) {
    auto& mark = reached.level == link::AckLevel::Held ? status_.held : status_.applied;
    if (reached.point > mark) {
        mark = reached.point;
        log_.acknowledged(stream_, reached);
    }
    co_return co_await on_acknowledged_(reached);
}

/// Also sees first that the receiver has refused the stream, when there is nothing to send.
Task<void> SendLine::follow_acknowledgements(
    link::OutgoingStream& outgoing, Status& ended, StopSignal& over
) {
    while (ended) {
        const auto acknowledgement = co_await outgoing.next_acknowledgement();
        if (!acknowledgement) {
            break;
        }
        ended = co_await took(acknowledgement->reached);
    }
    over.request();
}

Task<Error> SendLine::run(link::Session& session) {
    const OfferMetadata metadata{OfferMetadata::Role::Log, flow_, keys_.newest_first()};
    Status acknowledged;
    Status sent;
    StopSignal over;
    const auto forward = [&over] { over.request(); };
    const StopSignal::Hook hook(session.stop(), forward);
    {
        const auto outgoing = session.offer({stream_, flow_, metadata.encode()});
        // The acknowledgements end with the stream, and the stream with the session.
        TaskScope scope(executor_);
        scope.spawn(follow_acknowledgements(*outgoing, acknowledged, over));
        sent = co_await send_all(*outgoing, over);
        if (sent.error().is(ErrorCode::Cancelled) && outgoing->ended()) {
            sent = *outgoing->ended();
        }
        outgoing->withdraw(sent.error());
        co_await scope.join();
    }
    status_.connected = false;
    status_.last_error = acknowledged ? sent.error() : acknowledged.error();
    co_return *status_.last_error;
}

}  // namespace qiao::engine
