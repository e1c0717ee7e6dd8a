#pragma once

#include "qiao/common/async/scope.h"
#include "qiao/link/frame.h"
#include "qiao/link/internal/send_queue.h"
#include "qiao/link/session.h"
#include "qiao/link/stream.h"

#include <optional>
#include <unordered_map>

namespace qiao::link::internal {

/// The streams of one session, both ways: what the peer says about them changes them here, what
/// they say goes to the queue. Frames of streams and offers that are gone are dropped in silence.
class StreamTable {
public:
    StreamTable(
        Executor& executor,
        SendQueue& queue,
        TaskScope& scope,
        const SessionOptions& options,
        const PeerInfo& peer,
        SessionStats& stats
    );
    ~StreamTable();

    void set_handler(StreamHandler& handler) { handler_ = &handler; }

    std::unique_ptr<OutgoingStream> offer(StreamOffer offer);

    /// Errors: link.protocol when the peer breaks a bound.
    Status on(OfferFrame frame);
    Status on(StateFrame frame);
    Status on(DataFrame frame);
    Status on(AckFrame frame);
    Status on(const WindowFrame& frame);
    Status on(const WithdrawFrame& frame);
    Status on(const RefuseFrame& frame);

    /// The session ends: so does every stream.
    void end_all(const Error& reason);

    size_t outgoing() const { return outgoing_.size(); }

    size_t incoming() const { return incoming_.size(); }

private:
    friend class link::OutgoingStream;
    friend class link::IncomingStream;

    /// The place of one incoming stream: what is served, and the newer offer that waits for it.
    struct Seat {
        IncomingStream* served = nullptr;
        std::optional<OfferFrame> next;
        uint32_t newest = 0;  ///< number of the newest offer seen
    };

    Task<void> serve(StreamId id);
    OutgoingStream* find_outgoing(const StreamId& id, uint32_t offer);
    IncomingStream* find_incoming(const StreamId& id, uint32_t offer);
    /// Credit of each incoming stream now: fewer bytes when there are many.
    uint64_t window() const;
    void refuse(const StreamId& id, uint32_t offer, const Error& reason);

    /// A stream among very many still has this window, so that it moves at all.
    static constexpr uint64_t kWindowBytesMin = uint64_t{16} << 10U;

    Executor& executor_;
    SendQueue& queue_;
    TaskScope& scope_;
    const SessionOptions& options_;
    const PeerInfo& peer_;
    SessionStats& stats_;
    StreamHandler* handler_ = nullptr;
    uint32_t last_offer_ = 0;
    std::optional<Error> ended_;
    std::unordered_map<StreamId, OutgoingStream*> outgoing_;
    std::unordered_map<StreamId, Seat> incoming_;
};

}  // namespace qiao::link::internal
