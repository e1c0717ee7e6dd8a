#pragma once

#include "qiao/engine/transfer_log.h"
#include "qiao/link/statement.h"

#include <deque>
#include <optional>
#include <string>

namespace qiao::engine {

/// The pages of one flow in the transfer log of its node. A copy writes to the same log; one
/// without a log keeps nothing. Nothing here waits or fails: TransferLogStatus tells what was lost.
/// Context: the log's executor. Spec
class FlowLog {
public:
    FlowLog() = default;

    /// `log` outlives all copies. `peer`: the other node of the flow; empty: there is none.
    FlowLog(TransferLog& log, std::string flow, std::string peer)
        : log_(&log), flow_(std::move(flow)), peer_(std::move(peer)) {}

    /// A packet was taken, given on or refused just now.
    void record(
        HandOverKind kind,
        const packet::PacketView& packet,
        size_t bytes,
        std::optional<ErrorCode> outcome = std::nullopt
    ) const;

    /// The peer says that it holds or has applied everything up to a point: one record for all.
    void acknowledged(StreamId stream, const link::LevelPoint& reached) const;

private:
    friend class UnsettledPackets;
    TransferLog* log_ = nullptr;
    std::string flow_, peer_;
};

/// Packets of one stream on their way to a state that is reached for many at once: durable,
/// applied.
class UnsettledPackets {
public:
    UnsettledPackets(FlowLog log, HandOverKind kind) : log_(std::move(log)), kind_(kind) {}

    /// In the order of the stream.
    void add(const packet::OriginHeader& origin, size_t bytes, const Digest& digest);
    /// Everything up to `point` has reached the state: it is recorded.
    void settle(StreamPoint point);

    /// They come again, or never.
    void forget() { waiting_.clear(); }

private:
    /// One transaction of any size may be under way; what is beyond is counted as lost.
    static constexpr size_t kWaitingMost = 10'000;

    FlowLog log_;
    HandOverKind kind_;
    std::deque<HandOver> waiting_;
};

}  // namespace qiao::engine
