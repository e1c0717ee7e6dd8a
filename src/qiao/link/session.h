#pragma once

#include "qiao/common/async/scope.h"
#include "qiao/common/clock.h"
#include "qiao/common/id.h"
#include "qiao/link/authenticator.h"
#include "qiao/link/call.h"
#include "qiao/link/stream.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>

namespace qiao::link {

namespace internal {
class CallTable;
class FrameReader;
class SendQueue;
class StreamTable;
}  // namespace internal

struct HelloFrame;
struct RawFrame;

struct SessionOptions {
    std::string node_name;  ///< ours; equals the common name of our certificate
    Incarnation incarnation;
    std::string expected_peer;       ///< empty: any name that the certificate gives
    uint64_t features_required = 0;  ///< bits of the engine above that the peer must know
    uint64_t features_optional = 0;  ///< bits that we know besides

    Duration idle_deadline = std::chrono::seconds(30);  ///< nothing heard: the session is dead
    uint64_t window_bytes = uint64_t{8} << 20U;         ///< credit of each incoming stream, at most
    uint64_t receive_bytes = uint64_t{64} << 20U;       ///< shared by the windows of all of them
    size_t send_queue_bytes = size_t{16} << 20U;        ///< queued of all streams together
    size_t streams_max = 4096;                          ///< offered by the peer
    size_t calls_max = 64;                              ///< of the peer, at work at once
    uint64_t bytes_per_second = 0;                      ///< 0: not limited. Spec: R-77
};

struct PeerInfo {
    std::string name;
    std::string fingerprint;
    WallTime valid_until;  ///< of its certificate; zero: not known
    Endpoint address;
    Incarnation incarnation;
    uint16_t protocol_minor = 0;
    uint64_t features = 0;  ///< bits that both sides know
};

struct SessionStats {
    uint64_t bytes_in = 0, bytes_out = 0;  ///< before encryption
    uint64_t frames_in = 0, frames_out = 0;
    uint64_t packets_in = 0, packets_out = 0;
    std::optional<Duration> round_trip;  ///< of the last ping
    MonoTime last_heard;                 ///< any byte
    MonoTime last_packet;                ///< a packet, either way; zero: none yet
    size_t outgoing_streams = 0, incoming_streams = 0;
    size_t queued_bytes = 0;
};

/// One authenticated connection between two nodes, with many streams and calls both ways.
///
/// After a cut everything is said again from the state of both sides: offers, states, calls. The
/// session itself keeps nothing that matters. Context: one executor, no thread of its own.
///
/// Order of use: open(), set_stream_handler() and register_method(), then run() beside the tasks
/// that offer streams and call. Those end with errors when the session does; they are joined, and
/// all OutgoingStream and ReplyStream objects gone, before the session is destroyed.
/// Spec
class Session {
public:
    /// Exchanges Hello and checks version, features and names.
    /// Errors: link.version, link.wrong_name, link.protocol, link.refused (the peer said why),
    /// common.deadline_passed, common.cancelled, common.network_closed.
    static Task<Result<std::unique_ptr<Session>>> open(
        Executor& executor,
        Clock& clock,
        AuthenticatedConnection connection,
        SessionOptions options,
        Deadline deadline,
        StopSignal& stop
    );

    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    ~Session();

    const PeerInfo& peer() const { return peer_; }

    /// Without a handler every offer is refused with link.refused. `handler` outlives run().
    void set_stream_handler(StreamHandler& handler);
    void register_method(std::string name, Method method);

    /// Reads, writes and serves until the session ends, and says why. Once.
    Task<Error> run();

    /// Tells the peer why, and ends. Packets queued and not written are not sent any more.
    void close(Error reason);

    /// Requested when the session has ended: for waits of tasks that belong to it.
    StopSignal& stop() { return scope_.stop(); }

    const std::optional<Error>& ended() const { return ended_; }

    /// Offers a stream; at most one open offer of a stream at a time (asserted).
    std::unique_ptr<OutgoingStream> offer(StreamOffer offer);

    /// Calls a method of the peer and collects its answer.
    /// Errors: as ReplyStream::next(); link.too_large for more than kReplyBytesMax.
    Task<Result<Bytes>> call(std::string method, Bytes argument, Deadline deadline);
    /// The same, read in pieces. The deadline holds for the whole answer.
    Task<Result<std::unique_ptr<ReplyStream>>> call_streamed(
        std::string method, Bytes argument, Deadline deadline
    );

    /// Bytes a second of what we send, before encryption; at once. 0 lifts the limit. Control
    /// frames are counted, never held back. Spec: R-77
    void set_rate(uint64_t bytes_per_second);
    uint64_t rate() const;

    SessionStats stats() const;

private:
    Session(
        Executor& executor, Clock& clock, AuthenticatedConnection connection, SessionOptions options
    );

    Task<Status> exchange_hello();
    Task<Result<HelloFrame>> read_hello();
    Task<void> wait_for_end();
    Status accept_hello(const HelloFrame& hello);
    Task<void> read_frames();
    Status dispatch(RawFrame raw);
    Task<void> write_frames();
    Task<void> keep_alive();
    Task<void> end_later();
    void end(const Error& reason);

    Executor& executor_;
    Clock& clock_;
    SessionOptions options_;
    std::unique_ptr<Connection> connection_;
    PeerInfo peer_;
    SessionStats stats_;
    std::unique_ptr<internal::FrameReader> reader_;
    std::unique_ptr<internal::SendQueue> queue_;
    std::unique_ptr<internal::StreamTable> streams_;
    std::unique_ptr<internal::CallTable> calls_;
    bool running_ = false;
    std::optional<Error> closing_;
    std::optional<Error> ended_;
    TaskScope scope_;
};

/// What the engine does with a session; called by Dialer and Acceptor.
class SessionUser {
public:
    virtual ~SessionUser() = default;
    /// Registers handler and methods, starts its own tasks, awaits session.run(), joins its tasks,
    /// and returns: after that the session is gone.
    virtual Task<void> use(Session& session) = 0;
};

}  // namespace qiao::link
