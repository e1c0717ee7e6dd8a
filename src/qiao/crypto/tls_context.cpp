#include "qiao/common/assert.h"
#include "qiao/crypto/internal/openssl_engine.h"
#include "qiao/crypto/tls_engine.h"

#include <openssl/err.h>

namespace qiao::crypto {
namespace {

struct FreeInfos {
    void operator()(STACK_OF(X509_INFO) * infos) const {
        sk_X509_INFO_pop_free(infos, X509_INFO_free);
    }
};

using OwnedTls = std::unique_ptr<SSL_CTX, FreeWith<SSL_CTX_free>>;
using OwnedInfos = std::unique_ptr<STACK_OF(X509_INFO), FreeInfos>;

Error bad_identity(std::string_view what) {
    return openssl_error(ErrorCode::CryptoBadIdentity, what);
}

class OpensslContext final : public TlsContext {
public:
    explicit OpensslContext(OwnedTls tls) : tls_(std::move(tls)) {}

    std::unique_ptr<TlsEngine> make_engine(TlsRole role) const override {
        return make_openssl_engine(tls_.get(), role);
    }

private:
    OwnedTls tls_;
};

OwnedTls strict_context() {
    ERR_clear_error();
    OwnedTls tls(SSL_CTX_new(TLS_method()));
    QIAO_ASSERT(tls != nullptr);
    QIAO_ASSERT(SSL_CTX_set_min_proto_version(tls.get(), TLS1_3_VERSION) == 1);
    QIAO_ASSERT(SSL_CTX_set_max_proto_version(tls.get(), TLS1_3_VERSION) == 1);
    // Set here because a system's openssl.cnf may lower it.
    SSL_CTX_set_security_level(tls.get(), 2);
    SSL_CTX_set_options(
        tls.get(), SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION
    );
    // Every connection shows both certificates again; nothing is resumed.
    QIAO_ASSERT(SSL_CTX_set_num_tickets(tls.get(), 0) == 1);
    SSL_CTX_set_session_cache_mode(tls.get(), SSL_SESS_CACHE_OFF);
    // A hub holds many idle connections.
    SSL_CTX_set_mode(tls.get(), SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(tls.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    return tls;
}

OwnedCertificate next_certificate(BIO* bio) {
    return OwnedCertificate(PEM_read_bio_X509(bio, nullptr, no_passphrase, nullptr));
}

Status show(SSL_CTX* tls, const TlsIdentity& identity) {
    if (identity.certificate_chain_pem.size() > kPemBytesMax) {
        return Error(ErrorCode::CryptoBadIdentity, "certificate: the text is too long");
    }
    const auto bio = read_bio(identity.certificate_chain_pem);
    const auto own = next_certificate(bio.get());
    if (own == nullptr) {
        return bad_identity("certificate");
    }
    if (SSL_CTX_use_certificate(tls, own.get()) != 1) {
        return bad_identity("certificate");
    }
    while (const auto next = next_certificate(bio.get())) {
        if (SSL_CTX_add1_chain_cert(tls, next.get()) != 1) {
            return bad_identity("certificate chain");
        }
    }
    // The end of the text is an error too; any other is a damaged certificate.
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        return bad_identity("certificate chain");
    }
    ERR_clear_error();
    QIAO_TRY(const auto key, parse_private_key(identity.private_key_pem.reveal_text()));
    if (SSL_CTX_use_PrivateKey(tls, key.get()) != 1 || SSL_CTX_check_private_key(tls) != 1) {
        return bad_identity("private key");
    }
    return {};
}

Status trust(SSL_CTX* tls, const std::string& pem) {
    if (pem.size() > kPemBytesMax) {
        return Error(ErrorCode::CryptoBadIdentity, "trusted authority: the text is too long");
    }
    ERR_clear_error();
    const auto bio = read_bio(pem);
    const OwnedInfos infos(PEM_X509_INFO_read_bio(bio.get(), nullptr, no_passphrase, nullptr));
    if (infos == nullptr) {
        return bad_identity("trusted authority");
    }
    auto* store = SSL_CTX_get_cert_store(tls);
    int authorities = 0;
    bool lists = false;
    for (int i = 0; i < sk_X509_INFO_num(infos.get()); ++i) {
        const auto* info = sk_X509_INFO_value(infos.get(), i);
        if (info->x509 != nullptr) {
            ++authorities;
            if (X509_STORE_add_cert(store, info->x509) != 1 ||
                SSL_CTX_add_client_CA(tls, info->x509) != 1) {
                return bad_identity("trusted authority");
            }
        }
        if (info->crl != nullptr) {
            lists = true;
            if (X509_STORE_add_crl(store, info->crl) != 1) {
                return bad_identity("revocation list");
            }
        }
    }
    if (authorities == 0) {
        return Error(ErrorCode::CryptoBadIdentity, "trusted authority: no certificate in the text");
    }
    if (lists) {
        QIAO_ASSERT(X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK) == 1);
    }
    return {};
}

}  // namespace

Result<std::unique_ptr<TlsContext>> TlsContext::make(const TlsIdentity& identity) {
    auto tls = strict_context();
    QIAO_CHECK(show(tls.get(), identity));
    QIAO_CHECK(trust(tls.get(), identity.trusted_ca_pem));
    return std::make_unique<OpensslContext>(std::move(tls));
}

}  // namespace qiao::crypto
