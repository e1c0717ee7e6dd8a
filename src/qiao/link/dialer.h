#pragma once

#include "qiao/common/async/backoff.h"
#include "qiao/common/transport.h"
#include "qiao/link/session.h"

#include <cstdint>
#include <optional>

namespace qiao::link {

struct DialerOptions {
    Endpoint to;
    SessionOptions session;
    Duration connect_deadline = std::chrono::seconds(10);  ///< for TCP, TLS and Hello together
    Backoff backoff = Backoff();
};

enum class DialerState : uint8_t { Stopped, Connecting, Up, Waiting };

struct DialerStatus {
    DialerState state = DialerState::Stopped;
    uint32_t tries = 0;     ///< failed in a row
    uint64_t sessions = 0;  ///< that came up since the start
    MonoTime next_try;      ///< while Waiting
    std::optional<Error> last_error;
    const Session* session = nullptr;  ///< while Up
};

/// Keeps one session to a peer up: connects, hands the session to its user, and when it ends
/// connects again after a growing pause. Nothing is lost between: each session begins with what the
/// receivers hold. An agent dials to its hub and to nobody else. Spec
class Dialer {
public:
    /// All but `options` outlive run().
    Dialer(
        Executor& executor,
        Clock& clock,
        Rng& rng,
        Transport& transport,
        Authenticator& authenticator,
        DialerOptions options,
        SessionUser& user
    );

    /// Until stop is requested; ends the session then with a Goodbye. Once at a time.
    Task<void> run(StopSignal& stop);

    const DialerStatus& status() const { return status_; }

    /// Cuts the present pause short, for a changed setting or an operator.
    void retry_now();

private:
    Task<Result<std::unique_ptr<Session>>> connect(StopSignal& stop);
    Task<void> use(std::unique_ptr<Session> session, StopSignal& stop);
    Task<void> pause(StopSignal& stop);

    Executor& executor_;
    Clock& clock_;
    Rng& rng_;
    Transport& transport_;
    Authenticator& authenticator_;
    DialerOptions options_;
    SessionUser& user_;
    DialerStatus status_;
    Event woken_;
};

}  // namespace qiao::link
