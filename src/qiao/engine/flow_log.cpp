#include "qiao/engine/flow_log.h"

namespace qiao::engine {

void FlowLog::record(
    HandOverKind kind,
    const packet::PacketView& packet,
    size_t bytes,
    std::optional<ErrorCode> outcome
) const {
    if (log_ == nullptr) {
        return;
    }
    // A packet of a suite that is not known here has no digest here.
    const auto digest = packet.digest();
    auto it = HandOver::of(kind, packet.origin, bytes, digest ? *digest : Digest{}, flow_, peer_);
    it.outcome = outcome;
    log_->record(it);
}

void FlowLog::acknowledged(StreamId stream, const link::LevelPoint& reached) const {
    if (log_ == nullptr || reached.point == StreamPoint{}) {
        return;
    }
    HandOver it;
    it.kind = reached.level == link::AckLevel::Held ? HandOverKind::Held : HandOverKind::Applied;
    it.flow = flow_;
    it.peer = peer_;
    it.stream = stream;
    it.point = reached.point;
    it.digest = reached.digest;
    log_->record(it);
}

void UnsettledPackets::add(const packet::OriginHeader& origin, size_t bytes, const Digest& digest) {
    if (log_.log_ == nullptr) {
        return;
    }
    if (waiting_.size() >= kWaitingMost) {
        log_.log_->lose();
        return;
    }
    waiting_.push_back(HandOver::of(kind_, origin, bytes, digest, log_.flow_, log_.peer_));
}

void UnsettledPackets::settle(StreamPoint point) {
    while (!waiting_.empty() && waiting_.front().point <= point) {
        log_.log_->record(waiting_.front());
        waiting_.pop_front();
    }
}

}  // namespace qiao::engine
