#include "qiao/link/internal/stream_table.h"

#include "qiao/link/internal/wire_error.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::link::internal {

StreamTable::StreamTable(
    Executor& executor,
    SendQueue& queue,
    TaskScope& scope,
    const SessionOptions& options,
    const PeerInfo& peer,
    SessionStats& stats
)
    : executor_(executor),
      queue_(queue),
      scope_(scope),
      options_(options),
      peer_(peer),
      stats_(stats) {}

StreamTable::~StreamTable() { QIAO_ASSERT(outgoing_.empty() && incoming_.empty()); }

std::unique_ptr<OutgoingStream> StreamTable::offer(StreamOffer offer) {
    QIAO_ASSERT(offer.label.size() <= kLabelBytesMax);
    QIAO_ASSERT(offer.metadata.size() <= kMetadataBytesMax);
    const auto id = offer.stream;
    auto stream =
        std::unique_ptr<OutgoingStream>(new OutgoingStream(*this, ++last_offer_, std::move(offer)));
    const bool fresh = outgoing_.emplace(id, stream.get()).second;
    QIAO_ASSERT(fresh);
    if (ended_) {
        stream->ended_ = ended_;
    } else {
        queue_.put_statement(OfferFrame{stream->number_, stream->offer_});
    }
    return stream;
}

OutgoingStream* StreamTable::find_outgoing(const StreamId& id, uint32_t offer) {
    const auto place = outgoing_.find(id);
    const bool found = place != outgoing_.end() && place->second->number_ == offer;
    return found && !place->second->ended_ ? place->second : nullptr;
}

IncomingStream* StreamTable::find_incoming(const StreamId& id, uint32_t offer) {
    const auto place = incoming_.find(id);
    if (place == incoming_.end() || place->second.served == nullptr) {
        return nullptr;
    }
    auto* stream = place->second.served;
    return stream->number_ == offer && !stream->ended_ ? stream : nullptr;
}

uint64_t StreamTable::window() const {
    const auto share = options_.receive_bytes / std::max<size_t>(incoming_.size(), 1);
    return std::min(options_.window_bytes, std::max(share, kWindowBytesMin));
}

void StreamTable::refuse(const StreamId& id, uint32_t offer, const Error& reason) {
    queue_.put_statement(RefuseFrame{id, offer, wire_code(reason), reason.detail()});
}

Status StreamTable::on(OfferFrame frame) {
    const auto id = frame.content.stream;
    if (ended_) {
        return {};
    }
    if (handler_ == nullptr) {
        refuse(id, frame.offer, {ErrorCode::LinkRefused, "this node takes no streams"});
        return {};
    }
    auto place = incoming_.find(id);
    if (place == incoming_.end()) {
        if (incoming_.size() >= options_.streams_max) {
            refuse(
                id, frame.offer, {ErrorCode::LinkBusy, fmt::format("{} streams", incoming_.size())}
            );
            return {};
        }
        place = incoming_.emplace(id, Seat{}).first;
        scope_.spawn(serve(id));
    }
    auto& seat = place->second;
    if (frame.offer <= seat.newest) {
        return {};
    }
    seat.newest = frame.offer;
    seat.next = std::move(frame);
    if (seat.served != nullptr) {
        seat.served->end({ErrorCode::LinkWithdrawn, "offered anew"});
    }
    return {};
}

Task<void> StreamTable::serve(StreamId id) {
    auto& seat = incoming_.at(id);
    while (seat.next && !ended_) {
        auto offer = *std::exchange(seat.next, std::nullopt);
        IncomingStream stream(*this, offer.offer, std::move(offer.content));
        seat.served = &stream;
        co_await handler_->serve(stream);
        seat.served = nullptr;
        if (!stream.ended_) {
            stream.refuse(
                {stream.announced_ == 0 ? ErrorCode::LinkRefused : ErrorCode::LinkClosed,
                 "the receiver closed the stream"}
            );
        }
    }
    incoming_.erase(id);
}

Status StreamTable::on(StateFrame frame) {
    if (auto* stream = find_outgoing(frame.stream, frame.offer)) {
        stream->state_ = std::move(frame.state);
        stream->allowed_ = std::max(stream->allowed_, frame.allowed);
        stream->changed_.pulse();
    }
    return {};
}

Status StreamTable::on(DataFrame frame) {
    auto* stream = find_incoming(frame.stream, frame.offer);
    if (stream == nullptr) {
        return {};
    }
    if (stream->received_ >= stream->announced_) {
        return Error(
            ErrorCode::LinkProtocol,
            fmt::format("stream `{}`: more than its window", stream->offer_.label)
        );
    }
    ++stats_.packets_in;
    const auto cost = frame.cost();
    stream->received_ += cost;
    stream->packets_.push_back({frame.point, std::move(frame.packet), cost});
    stream->arrived_.pulse();
    return {};
}

Status StreamTable::on(AckFrame frame) {
    const auto place = outgoing_.find(frame.stream);
    if (place == outgoing_.end() || place->second->ended_) {
        return {};
    }
    auto& stream = *place->second;
    const auto same = [&](const Acknowledgement& other) {
        return other.reached.level == frame.content.reached.level &&
               other.reached.consumer == frame.content.reached.consumer;
    };
    const auto older = std::ranges::find_if(stream.acknowledged_, same);
    if (older != stream.acknowledged_.end()) {
        *older = std::move(frame.content);
    } else if (stream.acknowledged_.size() < kLevelPointsMax) {
        stream.acknowledged_.push_back(std::move(frame.content));
    } else {
        return Error(ErrorCode::LinkProtocol, "acknowledgements of too many consumers");
    }
    stream.changed_.pulse();
    return {};
}

Status StreamTable::on(const WindowFrame& frame) {
    if (auto* stream = find_outgoing(frame.stream, frame.offer)) {
        stream->allowed_ = std::max(stream->allowed_, frame.allowed);
        stream->changed_.pulse();
    }
    return {};
}

Status StreamTable::on(const WithdrawFrame& frame) {
    const auto place = incoming_.find(frame.stream);
    if (place == incoming_.end()) {
        return {};
    }
    auto& seat = place->second;
    if (seat.next && seat.next->offer == frame.offer) {
        seat.next.reset();
    }
    if (auto* stream = find_incoming(frame.stream, frame.offer)) {
        stream->end({ErrorCode::LinkWithdrawn, "by the sender"});
    }
    return {};
}

Status StreamTable::on(const RefuseFrame& frame) {
    if (auto* stream = find_outgoing(frame.stream, frame.offer)) {
        stream->ended_ =
            error_from_wire(frame.code, frame.detail, peer_.name, ErrorCode::LinkRefused);
        queue_.drop(*stream->lane_);
        stream->changed_.pulse();
    }
    return {};
}

void StreamTable::end_all(const Error& reason) {
    if (ended_) {
        return;
    }
    ended_ = reason;
    for (const auto& [id, stream] : outgoing_) {
        if (!stream->ended_) {
            stream->ended_ = reason;
            stream->changed_.pulse();
        }
    }
    for (auto& [id, seat] : incoming_) {
        seat.next.reset();
        if (seat.served != nullptr) {
            seat.served->end(reason);
        }
    }
}

}  // namespace qiao::link::internal
