#include "qiao/engine/inbox_line.h"

#include "qiao/engine/offer.h"

namespace qiao::engine {

InboxLine::InboxLine(
    Executor& executor,
    trail::Trail& trail,
    KeyStore& keys,
    StreamId stream,
    ChainTip tip,
    std::string consumer,
    FlowLog log
)
    : trail_(trail),
      keys_(keys),
      stream_(stream),
      consumer_(std::move(consumer)),
      tip_(std::move(tip)),
      log_(std::move(log)),
      unsettled_(log_, HandOverKind::Held),
      writer_(
          executor, trail, stream, [this](const ChainTip& durable) { became_durable(durable); }
      ),
      keys_changed_(executor),
      came_again_(executor) {
    status_.received = status_.held = tip_;
}

void InboxLine::ask_again() { asks_again_ = true; }

void InboxLine::became_durable(const ChainTip& durable) {
    status_.held = durable;
    unsettled_.settle(durable.point);
    if (incoming_ != nullptr) {
        incoming_->acknowledge({{link::AckLevel::Held, "", durable.point, durable.digest}, {}});
    }
}

Task<Status> InboxLine::run(StopSignal& stop) { co_return co_await writer_.run(stop); }

link::LevelPoint InboxLine::applied_point() const {
    return {link::AckLevel::Applied, consumer_, applied_.point, applied_.digest};
}

void InboxLine::applied(const ChainTip& tip) {
    applied_ = tip;
    if (incoming_ != nullptr) {
        incoming_->acknowledge({applied_point(), {}});
    }
}

Task<void> InboxLine::serve(link::IncomingStream& incoming) {
    const auto ended = co_await receive_all(incoming);
    incoming_ = nullptr;
    status_.connected = false;
    status_.last_error = ended.error();
    if (!incoming.ended()) {
        incoming.refuse(ended.error());
    }
}

Task<Status> InboxLine::receive_all(link::IncomingStream& incoming) {
    QIAO_CO_TRY(const auto metadata, OfferMetadata::decode(incoming.offer().metadata));
    for (const auto& wire : metadata.key_packets) {
        QIAO_CO_CHECK(co_await keys_.keep(wire));
    }
    keys_changed_.pulse();

    // What is not durable yet is not said to be held; it comes again and is a duplicate then.
    link::StreamState state{status_.held.point, status_.held.digest, {}, 0, {}};
    state.position = status_.held.position.encode();
    state.points.push_back(applied_point());
    incoming.accept(state);
    incoming_ = &incoming;
    status_.connected = true;
    while (true) {
        QIAO_CO_TRY(const auto packet, co_await incoming.receive());
        QIAO_CO_CHECK(co_await take(packet.packet, incoming.stop()));
        incoming.return_credit(packet.cost);
    }
}

Task<Status> InboxLine::take(ByteView wire, StopSignal& stop) {
    QIAO_CO_TRY(const auto view, packet::PacketView::parse(wire));
    const auto verdict = admit(tip_, stream_, view);
    ++status_.packets;
    status_.bytes += wire.size();
    if (!verdict) {
        log_.record(HandOverKind::Refused, view, wire.size(), verdict.error().code());
        co_return verdict.error();
    }
    if (*verdict == Verdict::Duplicate) {
        ++status_.duplicates;
        co_return Status{};
    }
    if (view.origin.kind == packet::Kind::Key) {
        QIAO_CO_CHECK(co_await keys_.keep(wire));
        keys_changed_.pulse();
    }
    QIAO_CO_TRY(auto tip, tip_of(view));
    if (asks_again_) {
        QIAO_CO_CHECK(co_await trail_.restart(stream_, tip_.point));
        asks_again_ = false;
        came_again_.set();
    }
    QIAO_CO_CHECK(co_await writer_.append(tip, wire, stop));
    unsettled_.add(view.origin, wire.size(), tip.digest);
    tip_ = std::move(tip);
    status_.received = tip_;
    if (shows_life(view.origin.kind)) {
        status_.alive = tip_.point;
    }
    co_return Status{};
}

}  // namespace qiao::engine
