#pragma once

#include "qiao/common/async/scope.h"
#include "qiao/common/transport.h"
#include "qiao/link/session.h"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace qiao::link {

struct AcceptorOptions {
    Endpoint at;  ///< empty host or `*`: IPv6 and IPv4
    SessionOptions session;
    Duration handshake_deadline = std::chrono::seconds(10);  ///< for TLS and Hello together
    size_t handshakes_max = 64;                              ///< not authenticated, at once
    /// Says whether a node of this name may connect. Errors: link.unknown_peer.
    std::function<Status(const PeerInfo&)> admit;
};

struct AcceptorStats {
    uint64_t accepted = 0, turned_away = 0, failed = 0, replaced = 0;
    std::optional<Error> last_error;  ///< of a handshake
    size_t handshakes = 0;
};

/// Listens, authenticates each connection beside the others, and hands its session to the user.
/// One session for each node name: the newest wins, the older is told so and ends first, because a
/// node that dials again knows that its old connection is dead while we may not. Spec
class Acceptor {
public:
    /// All but `options` outlive run().
    Acceptor(
        Executor& executor,
        Clock& clock,
        Transport& transport,
        Authenticator& authenticator,
        AcceptorOptions options,
        SessionUser& user
    );
    ~Acceptor();

    /// Binds. Errors: common.config.
    Status listen();

    /// After listen(): the port in use.
    Endpoint local() const { return listener_->local(); }

    /// Until stop is requested; ends all sessions with a Goodbye. Once, after listen().
    Task<void> run(StopSignal& stop);

    const AcceptorStats& stats() const { return stats_; }

    /// The sessions at work now.
    std::vector<const Session*> sessions() const;

private:
    /// The place of one node name: the session at work, and the newer one that waits for its end.
    struct Seat {
        Session* at_work = nullptr;
        std::unique_ptr<Session> next;
    };

    Task<void> handshake(std::unique_ptr<Connection> connection);
    Task<Result<std::unique_ptr<Session>>> open(std::unique_ptr<Connection> connection);
    void seat(std::unique_ptr<Session> session);
    Task<void> serve(std::string name);
    static Task<void> dismiss(std::unique_ptr<Session> session);
    void close_all();

    Executor& executor_;
    Clock& clock_;
    Transport& transport_;
    Authenticator& authenticator_;
    AcceptorOptions options_;
    SessionUser& user_;
    AcceptorStats stats_;
    std::unique_ptr<Listener> listener_;
    std::map<std::string, Seat> seats_;
    TaskScope scope_;
};

}  // namespace qiao::link
