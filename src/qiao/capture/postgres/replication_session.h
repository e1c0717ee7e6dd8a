#pragma once

#include "qiao/capture/postgres/lsn.h"
#include "qiao/common/async/scope.h"
#include "qiao/drivers/postgres/connection.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qiao::capture::postgres {

/// What comes over a replication connection.
struct LogMessage {
    enum class Kind : uint8_t { Data, Keepalive };
    Kind kind = Kind::Data;
    Lsn start = 0;  ///< Data only: of the record that caused it
    Lsn end = 0;    ///< the server has sent everything before; of a keepalive it may be confirmed
    WallTime sent_at;
    bool reply_requested = false;  ///< Keepalive only
    ByteView body;  ///< Data only: one message of the output plug-in, valid until the next call
};

struct StartRequest {
    std::string slot;
    Lsn from = 0;
    uint32_t protocol = 1;
    bool binary = false;
    bool streaming = false;  ///< large transactions before their commit
    std::vector<std::string> publications;
};

/// One replication session as a seam: libpq, or the simulator's model. One call at a time, on one
/// executor; status replies go out beside the calls. Source: rules 15, 30
class SourceSession {
public:
    virtual ~SourceSession() = default;

    virtual const SystemIdentity& identity() const = 0;
    virtual int server_version() const = 0;  ///< 150020

    /// Errors: capture.slot_busy with the pid, capture.slot_missing, capture.position_lost.
    virtual Task<Status> start(StartRequest request) = 0;

    /// The next message that has come; empty: nothing is there now. Never waits.
    /// Errors: drivers.lost, capture.protocol.
    virtual Result<std::optional<LogMessage>> next() = 0;

    /// Waits until there may be more. Errors: common.cancelled; drivers.* when the session is over.
    virtual Task<Status> wait(StopSignal& stop) = 0;

    /// Told to the server with the next reply, at most a second later: it keeps what lies from
    /// `keep_from` on. All before `safe` is safe: only when it asks, as one that shuts down does
    /// and waits for. Neither goes back.
    virtual void confirm(Lsn keep_from, Lsn safe) = 0;

    /// Tells the last confirmation and ends. Awaited before the session goes.
    virtual Task<void> close() = 0;
};

/// SourceSession over libpq. A task of its own keeps the server informed while nobody calls next()
/// or wait(), so that back-pressure of any length does not look like death; it never touches the
/// socket while wait() does, but wakes it to send. Source: rules 15
class ReplicationSession final : public SourceSession {
public:
    /// Connects and identifies the system. Errors: drivers.*; capture.no_slot when the server has
    /// no sender left. `stop` outlives the session.
    static Task<Result<std::unique_ptr<SourceSession>>> open(
        drivers::postgres::Runtime runtime, drivers::DataSourceUrl url, StopSignal& stop
    );

    const SystemIdentity& identity() const override { return identity_; }

    int server_version() const override { return connection_->server_version(); }

    Task<Status> start(StartRequest request) override;
    Result<std::optional<LogMessage>> next() override;
    Task<Status> wait(StopSignal& stop) override;

    void confirm(Lsn keep_from, Lsn safe) override;

    Task<void> close() override;

    ReplicationSession(
        drivers::postgres::Runtime runtime,
        std::unique_ptr<drivers::postgres::Connection> connection
    );

private:
    Task<Status> identify();
    Task<void> reply_on_time();
    bool reply_due() const;
    Task<Status> send_reply();
    Task<Status> wait_readable(StopSignal& stop);

    drivers::postgres::Runtime runtime_;
    std::unique_ptr<drivers::postgres::Connection> connection_;
    SystemIdentity identity_;
    Duration period_{0};  ///< between replies that have nothing new to say
    Duration tick_{0};
    MonoTime last_reply_;
    Lsn received_ = 0;
    Lsn flushed_ = 0;
    Lsn safe_ = 0;
    Lsn told_ = 0;
    bool reply_requested_ = false;
    bool ended_ = false;
    bool sending_ = false;
    StopSignal* wake_ = nullptr;  ///< ends the wait under way, so that a reply can be sent
    Event sent_;
    TaskScope scope_;
};

/// `START_REPLICATION …` for a request; pure, for tests.
std::string start_statement(const StartRequest& request);

}  // namespace qiao::capture::postgres
