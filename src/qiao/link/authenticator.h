#pragma once

#include "qiao/common/clock.h"
#include "qiao/common/transport.h"
#include "qiao/crypto/tls_engine.h"

#include <memory>
#include <string>

namespace qiao::link {

/// A connection whose other end has proved its name.
struct AuthenticatedConnection {
    std::unique_ptr<Connection> connection;
    std::string peer_name;           ///< common name of its certificate
    std::string peer_fingerprint;    ///< SHA-256 of its certificate
    WallTime peer_valid_until = {};  ///< zero: not known
};

/// Turns a raw connection into one whose other end is known. TLS in the program; tests have a
/// plain one (plain_authenticator.h), which the program never links.
class Authenticator {
public:
    virtual ~Authenticator() = default;
    /// Errors: crypto.tls_refused, common.deadline_passed, common.cancelled, common.network_closed.
    virtual Task<Result<AuthenticatedConnection>> authenticate(
        std::unique_ptr<Connection> connection,
        crypto::TlsRole role,
        Deadline deadline,
        StopSignal& stop
    ) = 0;
};

/// TLS 1.3 with both sides' certificates. Spec: R-32
class TlsAuthenticator final : public Authenticator {
public:
    /// `context` may be replaced by a newer one with use(), for renewed certificates.
    TlsAuthenticator(Clock& clock, const crypto::TlsContext& context)
        : clock_(clock), context_(&context) {}

    /// For connections from now on; the caller keeps `context` alive.
    void use(const crypto::TlsContext& context) { context_ = &context; }

    Task<Result<AuthenticatedConnection>> authenticate(
        std::unique_ptr<Connection> connection,
        crypto::TlsRole role,
        Deadline deadline,
        StopSignal& stop
    ) override;

private:
    Clock& clock_;
    const crypto::TlsContext* context_;
};

}  // namespace qiao::link
