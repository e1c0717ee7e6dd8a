#pragma once

#include "qiao/common/transport.h"
#include "qiao/crypto/tls_engine.h"

#include <memory>

namespace qiao::link {

/// A Connection through TLS over another Connection. Made with the handshake done, by
/// TlsAuthenticator. Spec: R-32
class TlsConnection final : public Connection {
public:
    /// Runs the handshake. Deadlines are the caller's: closing `inner` ends it.
    /// Errors: crypto.tls_refused with the reason, common.network_closed.
    static Task<Result<std::unique_ptr<TlsConnection>>> handshake(
        std::unique_ptr<Connection> inner, std::unique_ptr<crypto::TlsEngine> engine
    );

    Task<Result<size_t>> read_some(MutableByteView into) override;
    Task<Status> write_all(ByteView bytes) override;
    void close() override;

    Endpoint peer() const override { return inner_->peer(); }

    std::string peer_name() const { return engine_->peer_name(); }

    std::string peer_fingerprint() const { return engine_->peer_fingerprint(); }

    WallTime peer_valid_until() const { return engine_->peer_valid_until(); }

private:
    TlsConnection(std::unique_ptr<Connection> inner, std::unique_ptr<crypto::TlsEngine> engine);

    Task<Status> shake_hands();
    Task<Status> feed_some();
    Task<Status> flush();

    std::unique_ptr<Connection> inner_;
    std::unique_ptr<crypto::TlsEngine> engine_;
    Bytes ciphertext_;
    bool closed_ = false;
};

}  // namespace qiao::link
