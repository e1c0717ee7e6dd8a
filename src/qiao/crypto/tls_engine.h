#pragma once

#include "qiao/common/bytes.h"
#include "qiao/common/result.h"
#include "qiao/common/secret.h"
#include "qiao/common/time.h"

#include <cstdint>
#include <memory>
#include <string>

namespace qiao::crypto {

/// What a side of a link shows and trusts. PEM texts; the private key never leaves memory.
struct TlsIdentity {
    /// Own certificate first, then those between it and the authority.
    std::string certificate_chain_pem;
    Secret private_key_pem;
    /// Certificates of trusted authorities and, where there are any, their revocation lists: with
    /// one list here every peer must be covered by a list that is still valid.
    std::string trusted_ca_pem;
};

enum class TlsRole : uint8_t { Client, Server };

/// TLS 1.3 as a machine without I/O: ciphertext in, ciphertext out, so that it runs over any
/// Connection and outside the simulator's view. Both sides must show a certificate of the trusted
/// CA; revoked and expired ones are refused. Host names are not looked at: identity is the node's
/// name, which the layer above compares with peer_name(). After every call drain() may have
/// something to send, after an error too (the alert that tells the peer why). The first error
/// stays. One executor at a time. The second plug. Spec
class TlsEngine {
public:
    virtual ~TlsEngine() = default;

    enum class Progress : uint8_t { NeedsInput, Done };

    /// Goes on with the handshake as far as it can. Errors: crypto.tls_refused with the reason.
    /// A client can be Done before the server has judged its certificate: a refusal then comes out
    /// of read().
    virtual Result<Progress> handshake() = 0;

    /// Ciphertext from the network; all of it is taken and kept until read() has worked on it, so
    /// that the caller bounds it: read until 0 before the next feed.
    virtual Status feed(ByteView ciphertext) = 0;
    /// Ciphertext to send; empty when there is none.
    virtual Bytes drain() = 0;

    /// Encrypts plaintext of any length; the result comes out of drain(). After the handshake only.
    /// Errors: common.network_closed after shutdown(), crypto.tls_refused.
    virtual Status write(ByteView plaintext) = 0;
    /// Plaintext that is there now; 0 when more ciphertext is needed.
    /// Errors: common.network_closed after the peer's close, crypto.tls_refused.
    virtual Result<size_t> read(MutableByteView into) = 0;
    /// Says goodbye, so that the peer can tell an end from a cut. Nothing can be written after it.
    virtual void shutdown() = 0;

    /// After the handshake: common name (empty unless there is exactly one), and SHA-256 of the
    /// certificate in lower-case hexadecimal.
    virtual std::string peer_name() const = 0;
    virtual std::string peer_fingerprint() const = 0;
    /// The end of its certificate; zero when that cannot be read.
    virtual WallTime peer_valid_until() const = 0;
};

/// Made once a process, gives an engine a connection. Errors of make: crypto.bad_identity.
class TlsContext {
public:
    virtual ~TlsContext() = default;
    virtual std::unique_ptr<TlsEngine> make_engine(TlsRole role) const = 0;
    static Result<std::unique_ptr<TlsContext>> make(const TlsIdentity& identity);
};

}  // namespace qiao::crypto
