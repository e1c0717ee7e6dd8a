#include "qiao/engine/send_line.h"

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
    OnAcknowledged on_acknowledged
)
    : executor_(executor),
      trail_(trail),
      keys_(keys),
      stream_(stream),
      flow_(std::move(flow)),
      on_acknowledged_(std::move(on_acknowledged)) {}

/// The point after which to send. What the receiver holds must be a packet of ours, byte for byte.
Task<Result<StreamPoint>> SendLine::agree_on_start(const link::StreamState& state) {
    if (state.held == StreamPoint{}) {
        co_return trail_.held_after(stream_);
    }
    const auto record = co_await trail_.find(stream_, state.held);
    if (!record && record.error().is(ErrorCode::TrailGone)) {
        co_return state.held < trail_.held_after(stream_)
            ? Result<StreamPoint>(record.error().within("the receiver went back"))
            : Result<StreamPoint>(state.held);
    }
    if (!record) {
        co_return Error(
            ErrorCode::EngineForked,
            fmt::format(
                "the receiver holds epoch {} sequence {}, which was never sent from here",
                state.held.epoch.value,
                state.held.sequence.value
            )
        );
    }
    QIAO_CO_TRY(const auto view, packet::PacketView::parse(record->payload()));
    QIAO_CO_TRY(const auto digest, view.digest());
    if (digest != state.digest) {
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
    status_.held = state.held;
    for (const auto& point : state.points) {
        QIAO_CO_CHECK(co_await on_acknowledged_(point));
    }
    auto cursor = trail_.read(stream_, start);
    status_.connected = true;
    while (true) {
        QIAO_CO_TRY(const auto record, co_await cursor.next(stop));
        QIAO_CO_CHECK(co_await outgoing.send(record.point(), to_bytes(record.payload())));
        status_.sent = record.point();
        ++status_.packets;
        status_.bytes += record.payload().size();
    }
}

Task<void> SendLine::follow_acknowledgements(link::OutgoingStream& outgoing, Status& ended) {
    while (true) {
        const auto acknowledgement = co_await outgoing.next_acknowledgement();
        if (!acknowledgement) {
            co_return;
        }
        const auto& reached = acknowledgement->reached;
        auto& mark = reached.level == link::AckLevel::Held ? status_.held : status_.applied;
        mark = std::max(mark, reached.point);
        ended = co_await on_acknowledged_(reached);
        if (!ended) {
            co_return;
        }
    }
}

Task<Error> SendLine::run(link::Session& session) {
    OfferMetadata metadata{OfferMetadata::Role::Log, flow_, {}};
    for (const auto& [id, wire] : keys_.packets()) {
        metadata.key_packets.push_back(wire);
    }
    Status acknowledged;
    Status sent;
    {
        const auto outgoing = session.offer({stream_, flow_, metadata.encode()});
        // The acknowledgements end with the stream, and the stream with the session.
        TaskScope scope(executor_);
        scope.spawn(follow_acknowledgements(*outgoing, acknowledged));
        sent = co_await send_all(*outgoing, session.stop());
        outgoing->withdraw(sent.error());
        co_await scope.join();
    }
    status_.connected = false;
    status_.last_error = acknowledged ? sent.error() : acknowledged.error();
    co_return *status_.last_error;
}

}  // namespace qiao::engine
