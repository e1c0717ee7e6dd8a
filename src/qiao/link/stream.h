#pragma once

#include "qiao/common/async/event.h"
#include "qiao/common/async/stop.h"
#include "qiao/common/async/task.h"
#include "qiao/common/result.h"
#include "qiao/link/statement.h"

#include <deque>
#include <memory>
#include <optional>

namespace qiao::link {

namespace internal {
class StreamTable;
class Lane;
}  // namespace internal

/// The sender's end of one stream in one session. Lives at most as long as its session; its end
/// withdraws the stream and drops what was not written yet; offering it again begins with the
/// receiver's state again.
///
/// One send() at a time; state() and next_acknowledgement() may wait beside it.
/// Context: the session's executor. Spec
class OutgoingStream {
public:
    OutgoingStream(const OutgoingStream&) = delete;
    OutgoingStream& operator=(const OutgoingStream&) = delete;
    ~OutgoingStream();

    const StreamOffer& offer() const { return offer_; }

    /// Waits until the receiver has said what it holds: where to go on.
    /// Errors: the code of the receiver's refusal (link.refused when it is not in our catalogue),
    /// or why the session ended.
    Task<Result<StreamState>> state();

    /// Waits for credit of the receiver and room in the outgoing queue, then queues the packet
    /// (at most kPacketBytesMax). Only an acknowledgement says that it arrived. Packets of one
    /// stream arrive in the order of their sends. To be called after state() has given a state.
    /// Errors: as state(); link.too_large.
    Task<Status> send(StreamPoint point, Bytes packet);

    /// Waits for something newly acknowledged. Only the newest of each level and consumer is kept,
    /// so a slow reader costs no memory. Errors: as state().
    Task<Result<Acknowledgement>> next_acknowledgement();

    /// Ends the stream from our side: the peer is told, and our waits end with `reason`.
    void withdraw(Error reason);

    /// Empty while the stream can go on.
    const std::optional<Error>& ended() const { return ended_; }

private:
    friend class internal::StreamTable;
    OutgoingStream(internal::StreamTable& table, uint32_t number, StreamOffer offer);

    internal::StreamTable& table_;
    const uint32_t number_;  ///< of this offer in this session, so that stale frames are told
    const StreamOffer offer_;
    std::shared_ptr<internal::Lane> lane_;
    std::optional<StreamState> state_;
    std::deque<Acknowledgement> acknowledged_;
    uint64_t allowed_ = 0;  ///< cumulative, as the receiver says it
    uint64_t sent_ = 0;
    std::optional<Error> ended_;
    Event changed_;
};

struct IncomingPacket {
    StreamPoint point;
    Bytes packet;
    uint64_t cost = 0;  ///< to give back with IncomingStream::return_credit
};

/// The receiver's end of one stream in one session: accept() or refuse() first, then receive().
/// Owned by the session, good until StreamHandler::serve returns. Spec
class IncomingStream {
public:
    IncomingStream(const IncomingStream&) = delete;
    IncomingStream& operator=(const IncomingStream&) = delete;
    ~IncomingStream();

    const StreamOffer& offer() const { return offer_; }

    /// Says what is held; the sender goes on from there. May be said again, whenever it is true.
    void accept(const StreamState& state);

    /// Ends the stream with a reason for the sender, for example link.forked.
    void refuse(const Error& reason);

    /// The next packet, in order. The packets waiting here never take more than the window plus
    /// one packet. Errors: link.withdrawn (by the sender, or offered anew), the refusal, or why
    /// the session ended.
    Task<Result<IncomingPacket>> receive();

    /// A packet that is there now.
    std::optional<IncomingPacket> try_receive();

    /// Says that a packet's memory is free again, so that the sender may go on.
    void return_credit(uint64_t cost);

    /// Tells the sender how far a level has come. Never waits.
    void acknowledge(Acknowledgement acknowledgement);

    const std::optional<Error>& ended() const { return ended_; }

    /// Requested when the stream has ended: for waits on its behalf.
    StopSignal& stop() { return stop_; }

private:
    friend class internal::StreamTable;
    IncomingStream(internal::StreamTable& table, uint32_t number, StreamOffer offer);

    void end(Error reason);

    internal::StreamTable& table_;
    const uint32_t number_;
    const StreamOffer offer_;
    std::deque<IncomingPacket> packets_;
    uint64_t received_ = 0;
    uint64_t returned_ = 0;
    uint64_t announced_ = 0;  ///< what the sender was told that it may send; 0: not accepted
    std::optional<Error> ended_;
    Event arrived_;
    StopSignal stop_;
};

/// The engine above, as receiver.
class StreamHandler {
public:
    virtual ~StreamHandler() = default;

    /// Runs for as long as it wants the stream, beside all other streams. When the sender offers
    /// the same stream again, the old one ends and this is called again only after the old call
    /// has returned. On return without accept() or refuse() the stream is refused.
    virtual Task<void> serve(IncomingStream& stream) = 0;
};

}  // namespace qiao::link
