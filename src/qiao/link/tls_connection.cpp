#include "qiao/link/tls_connection.h"

#include "qiao/link/authenticator.h"
#include "qiao/link/internal/close_guard.h"

#include <algorithm>

namespace qiao::link {
namespace {

/// Plaintext encrypted at once: many TLS records for one write to the socket.
constexpr size_t kPlaintextBytes = size_t{256} << 10U;
constexpr size_t kCiphertextBytes = size_t{256} << 10U;

}  // namespace

TlsConnection::TlsConnection(
    std::unique_ptr<Connection> inner, std::unique_ptr<crypto::TlsEngine> engine
)
    : inner_(std::move(inner)), engine_(std::move(engine)), ciphertext_(kCiphertextBytes) {}

Task<Result<std::unique_ptr<TlsConnection>>> TlsConnection::handshake(
    std::unique_ptr<Connection> inner, std::unique_ptr<crypto::TlsEngine> engine
) {
    auto connection =
        std::unique_ptr<TlsConnection>(new TlsConnection(std::move(inner), std::move(engine)));
    QIAO_CO_CHECK(co_await connection->shake_hands());
    co_return connection;
}

Task<Status> TlsConnection::shake_hands() {
    while (true) {
        const auto progress = engine_->handshake();
        const Status flushed = co_await flush();
        // Also after a refusal: the alert tells the peer why.
        if (!progress) {
            co_return progress.error();
        }
        QIAO_CO_CHECK(flushed);
        if (*progress == crypto::TlsEngine::Progress::Done) {
            co_return Status{};
        }
        QIAO_CO_CHECK(co_await feed_some());
    }
}

Task<Status> TlsConnection::feed_some() {
    QIAO_CO_TRY(const auto got, co_await inner_->read_some(ciphertext_));
    co_return engine_->feed(ByteView(ciphertext_).first(got));
}

Task<Status> TlsConnection::flush() {
    const auto ciphertext = engine_->drain();
    if (ciphertext.empty()) {
        co_return Status{};
    }
    co_return co_await inner_->write_all(ciphertext);
}

Task<Result<size_t>> TlsConnection::read_some(MutableByteView into) {
    while (true) {
        if (closed_) {
            co_return Error(ErrorCode::NetworkClosed);
        }
        QIAO_CO_TRY(const auto got, engine_->read(into));
        if (got != 0) {
            co_return got;
        }
        // What the engine wants to say meanwhile (a key update) goes out with the next write:
        // only the writer writes.
        QIAO_CO_CHECK(co_await feed_some());
    }
}

Task<Status> TlsConnection::write_all(ByteView bytes) {
    while (!bytes.empty()) {
        if (closed_) {
            co_return Error(ErrorCode::NetworkClosed);
        }
        const auto piece = bytes.first(std::min(bytes.size(), kPlaintextBytes));
        bytes = bytes.subspan(piece.size());
        QIAO_CO_CHECK(engine_->write(piece));
        QIAO_CO_CHECK(co_await flush());
    }
    co_return Status{};
}

void TlsConnection::close() {
    closed_ = true;
    inner_->close();
}

Task<Result<AuthenticatedConnection>> TlsAuthenticator::authenticate(
    std::unique_ptr<Connection> connection,
    crypto::TlsRole role,
    Deadline deadline,
    StopSignal& stop
) {
    auto& raw = *connection;
    auto engine = context_->make_engine(role);
    const internal::CloseGuard guard(clock_, raw, deadline, stop);
    auto shaken = co_await TlsConnection::handshake(std::move(connection), std::move(engine));
    if (!shaken) {
        co_return guard.explain(shaken.error());
    }
    auto name = (*shaken)->peer_name();
    auto fingerprint = (*shaken)->peer_fingerprint();
    const auto until = (*shaken)->peer_valid_until();
    co_return AuthenticatedConnection{
        *std::move(shaken), std::move(name), std::move(fingerprint), until
    };
}

}  // namespace qiao::link
