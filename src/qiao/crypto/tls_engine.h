#pragma once

#include "qiao/common/bytes.h"
#include "qiao/common/result.h"
#include "qiao/common/secret.h"

#include <cstdint>
#include <memory>
#include <string>

namespace qiao::crypto {

/// What a side of a link shows and trusts. PEM texts; the private key never leaves memory.
struct TlsIdentity {
    std::string certificate_chain_pem;
    Secret private_key_pem;
    std::string trusted_ca_pem;
};

enum class TlsRole : uint8_t { Client, Server };

/// TLS 1.3 as a machine without I/O: ciphertext in, ciphertext out, so that it runs over any
/// Connection and outside the simulator's view. Both sides must show a certificate of the trusted
/// CA; revoked and expired ones are refused. The second plug. Spec
class TlsEngine {
public:
    virtual ~TlsEngine() = default;

    enum class Progress : uint8_t { NeedsInput, Done };

    /// Goes on with the handshake as far as it can. Errors: crypto.tls_refused with the reason.
    virtual Result<Progress> handshake() = 0;

    /// Ciphertext from the network; all of it is taken.
    virtual Status feed(ByteView ciphertext) = 0;
    /// Ciphertext to send; empty when there is none. Valid until the next call.
    virtual Bytes drain() = 0;

    /// Encrypts plaintext; the result comes out of drain().
    virtual Status write(ByteView plaintext) = 0;
    /// Plaintext that is there now; 0 when more ciphertext is needed.
    /// Errors: common.network_closed after the peer's close, crypto.tls_refused.
    virtual Result<size_t> read(MutableByteView into) = 0;
    virtual void shutdown() = 0;

    /// After the handshake: common name, and SHA-256 of the certificate.
    virtual std::string peer_name() const = 0;
    virtual std::string peer_fingerprint() const = 0;
};

/// Made once a process, gives an engine a connection. Errors of make: crypto.bad_identity.
class TlsContext {
public:
    virtual ~TlsContext() = default;
    virtual std::unique_ptr<TlsEngine> make_engine(TlsRole role) const = 0;
    static Result<std::unique_ptr<TlsContext>> make(const TlsIdentity& identity);
};

}  // namespace qiao::crypto
