#include "qiao/crypto/internal/openssl_engine.h"

#include "qiao/common/assert.h"

#include <openssl/err.h>

#include <algorithm>
#include <limits>
#include <optional>

namespace qiao::crypto {
namespace {

using OwnedConnection = std::unique_ptr<SSL, FreeWith<SSL_free>>;

OwnedBio endless_bio() {
    OwnedBio bio(BIO_new(BIO_s_mem()));
    QIAO_ASSERT(bio != nullptr);
    // Empty means "not yet", not the end of the stream.
    BIO_set_mem_eof_return(bio.get(), -1);
    return bio;
}

class OpensslEngine final : public TlsEngine {
public:
    OpensslEngine(SSL_CTX* tls, TlsRole role) : connection_(SSL_new(tls)) {
        QIAO_ASSERT(connection_ != nullptr);
        auto incoming = endless_bio();
        auto outgoing = endless_bio();
        incoming_ = incoming.get();
        outgoing_ = outgoing.get();
        SSL_set_bio(connection_.get(), incoming.release(), outgoing.release());
        if (role == TlsRole::Client) {
            SSL_set_connect_state(connection_.get());
        } else {
            SSL_set_accept_state(connection_.get());
        }
    }

    Result<Progress> handshake() override {
        if (failure_) {
            return *failure_;
        }
        if (established_) {
            return Progress::Done;
        }
        ERR_clear_error();
        const int outcome = SSL_do_handshake(connection_.get());
        if (outcome == 1) {
            established_ = true;
            return Progress::Done;
        }
        if (SSL_get_error(connection_.get(), outcome) == SSL_ERROR_WANT_READ) {
            return Progress::NeedsInput;
        }
        return fail("handshake");
    }

    Status feed(ByteView ciphertext) override {
        if (failure_) {
            return *failure_;
        }
        while (!ciphertext.empty()) {
            const auto piece = ciphertext.first(std::min(ciphertext.size(), kPieceBytes));
            const auto length = static_cast<int>(piece.size());
            QIAO_ASSERT(BIO_write(incoming_, piece.data(), length) == length);
            ciphertext = ciphertext.subspan(piece.size());
        }
        return {};
    }

    Bytes drain() override {
        Bytes ciphertext(std::min(BIO_ctrl_pending(outgoing_), kPieceBytes));
        if (!ciphertext.empty()) {
            const auto length = static_cast<int>(ciphertext.size());
            QIAO_ASSERT(BIO_read(outgoing_, ciphertext.data(), length) == length);
        }
        return ciphertext;
    }

    Status write(ByteView plaintext) override {
        if (failure_) {
            return *failure_;
        }
        QIAO_ASSERT(established_);
        if ((SSL_get_shutdown(connection_.get()) & SSL_SENT_SHUTDOWN) != 0) {
            return Error(ErrorCode::NetworkClosed, "the TLS connection was shut down here");
        }
        if (plaintext.empty()) {
            return {};
        }
        ERR_clear_error();
        size_t taken = 0;
        const int outcome =
            SSL_write_ex(connection_.get(), plaintext.data(), plaintext.size(), &taken);
        if (outcome != 1) {
            return fail("write");
        }
        // A memory BIO takes everything, so there are no partial writes.
        QIAO_ASSERT(taken == plaintext.size());
        return {};
    }

    Result<size_t> read(MutableByteView into) override {
        if (failure_) {
            return *failure_;
        }
        QIAO_ASSERT(established_);
        size_t total = 0;
        // A call of OpenSSL gives at most a record; a caller with more room gets several.
        while (total < into.size()) {
            ERR_clear_error();
            size_t got = 0;
            const auto room = into.subspan(total);
            if (SSL_read_ex(connection_.get(), room.data(), room.size(), &got) == 1) {
                total += got;
                continue;
            }
            const int why = SSL_get_error(connection_.get(), 0);
            if (why == SSL_ERROR_WANT_READ) {
                break;
            }
            auto error = why == SSL_ERROR_ZERO_RETURN
                             ? Error(ErrorCode::NetworkClosed, "the peer closed the TLS connection")
                             : fail("read");
            if (total == 0) {
                return error;
            }
            // Good data comes first; the end or error behind it is met again at the next call.
            break;
        }
        return total;
    }

    void shutdown() override {
        if (established_ && !failure_) {
            ERR_clear_error();
            SSL_shutdown(connection_.get());
            ERR_clear_error();
        }
    }

    std::string peer_name() const override {
        const auto* peer = peer_certificate();
        return peer == nullptr ? std::string{} : common_name(peer);
    }

    std::string peer_fingerprint() const override {
        const auto* peer = peer_certificate();
        return peer == nullptr ? std::string{} : fingerprint(peer);
    }

    WallTime peer_valid_until() const override {
        const auto* peer = peer_certificate();
        return peer == nullptr ? WallTime{}
                               : wall_time(X509_get0_notAfter(peer)).value_or(WallTime{});
    }

private:
    static constexpr size_t kPieceBytes = size_t{1} << 30;

    const X509* peer_certificate() const {
        return established_ ? SSL_get0_peer_certificate(connection_.get()) : nullptr;
    }

    /// Keeps the first error for good: what verification said, else OpenSSL's reason (which names
    /// the peer's alert when it was the peer that refused).
    Error fail(std::string_view what) {
        const auto verified = SSL_get_verify_result(connection_.get());
        auto reason = take_reason();
        if (verified != X509_V_OK) {
            reason += std::string(" (") + X509_verify_cert_error_string(verified) + ")";
        }
        failure_.emplace(ErrorCode::CryptoTlsRefused, std::string(what) + ": " + reason);
        return *failure_;
    }

    OwnedConnection connection_;
    BIO* incoming_ = nullptr;  // both owned by the connection
    BIO* outgoing_ = nullptr;
    bool established_ = false;
    std::optional<Error> failure_;
};

}  // namespace

std::unique_ptr<TlsEngine> make_openssl_engine(SSL_CTX* tls, TlsRole role) {
    return std::make_unique<OpensslEngine>(tls, role);
}

}  // namespace qiao::crypto
