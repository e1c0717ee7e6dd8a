#include "qiao/crypto/private_key.h"

#include "qiao/common/assert.h"
#include "qiao/crypto/internal/key_exchange.h"
#include "qiao/crypto/internal/openssl.h"
#include "qiao/crypto/internal/wrapped_key.h"

#include <openssl/core_names.h>
#include <openssl/err.h>

#include <array>

namespace qiao::crypto {
namespace {

Error bad_key(std::string_view what) {
    return {ErrorCode::CryptoBadIdentity, "wrapping key: " + std::string(what)};
}

std::string_view word(KeyKind kind) { return kind == KeyKind::Sm2 ? "SM2" : "P-256"; }

/// What the key is, after a check that it is sound and on a curve given by name: explicit curve
/// parameters are how forged curves come in.
Result<KeyKind> checked_kind(EVP_PKEY* key) {
    const bool sm2 = EVP_PKEY_is_a(key, "SM2") == 1;
    if (!sm2 && EVP_PKEY_is_a(key, "EC") != 1) {
        return bad_key("neither SM2 nor P-256");
    }
    std::array<char, 64> curve{};
    size_t length = 0;
    if (EVP_PKEY_get_group_name(key, curve.data(), curve.size(), &length) != 1) {
        ERR_clear_error();
        return bad_key("the curve is not given by name");
    }
    if (std::string_view(curve.data(), length) != (sm2 ? "SM2" : "prime256v1")) {
        return bad_key("neither SM2 nor P-256");
    }
    int is_explicit = 0;
    if (EVP_PKEY_get_int_param(
            key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &is_explicit
        ) == 1 &&
        is_explicit != 0) {
        return bad_key("the curve is not given by name");
    }
    ERR_clear_error();
    return sm2 ? KeyKind::Sm2 : KeyKind::P256;
}

using SharedKey = std::shared_ptr<EVP_PKEY>;

class FilePublicKey final : public PublicKey {
public:
    FilePublicKey(KeyKind kind, SharedKey key) : kind_(kind), key_(std::move(key)) {}

    KeyKind kind() const override { return kind_; }

    std::string to_pem() const override {
        const OwnedBio bio(BIO_new(BIO_s_mem()));
        QIAO_ASSERT(bio != nullptr && PEM_write_bio_PUBKEY(bio.get(), key_.get()) == 1);
        return std::string(as_text(written(bio.get())));
    }

    Result<Bytes> encrypt(const Secret& secret, ByteView context) const override {
        QIAO_TRY(const auto one_time, encapsulate(kind_, key_.get()));
        return seal_envelope(kind_, one_time.bytes, one_time.key, secret, context);
    }

private:
    KeyKind kind_;
    SharedKey key_;
};

class FilePrivateKey final : public PrivateKey {
public:
    FilePrivateKey(KeyKind kind, SharedKey key) : kind_(kind), key_(std::move(key)) {}

    KeyKind kind() const override { return kind_; }

    std::shared_ptr<const PublicKey> public_key() const override {
        return std::make_shared<FilePublicKey>(kind_, key_);
    }

    Result<Secret> decrypt(ByteView encrypted, ByteView context) const override {
        QIAO_TRY(const auto envelope, parse_envelope(encrypted));
        if (envelope.kind != kind_) {
            return Error(
                ErrorCode::CryptoWrongKey,
                "wrapped key: made for a key of kind " + std::string(word(envelope.kind))
            );
        }
        QIAO_TRY(const auto one_time, decapsulate(kind_, key_.get(), envelope.encapsulated));
        return open_envelope(envelope, one_time, context);
    }

    Result<Secret> to_pem() const override {
        QIAO_TRY(auto pem, write_private_key(key_.get()));
        return Secret(std::move(pem));
    }

private:
    KeyKind kind_;
    SharedKey key_;
};

bool sound(EVP_PKEY* key, int (*check)(EVP_PKEY_CTX*)) {
    const OwnedKeyContext context(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
    return context != nullptr && check(context.get()) == 1;
}

}  // namespace

Result<std::shared_ptr<const PublicKey>> PublicKey::from_pem(std::string_view pem) {
    QIAO_TRY(auto parsed, parse_public_key(pem));
    SharedKey key(std::move(parsed));
    QIAO_TRY(const auto kind, checked_kind(key.get()));
    if (!sound(key.get(), EVP_PKEY_public_check)) {
        return openssl_error(ErrorCode::CryptoBadIdentity, "public wrapping key");
    }
    return std::make_shared<FilePublicKey>(kind, std::move(key));
}

Result<std::shared_ptr<const PrivateKey>> PrivateKey::from_pem(const Secret& pem) {
    QIAO_TRY(auto parsed, parse_private_key(pem.reveal_text()));
    SharedKey key(std::move(parsed));
    QIAO_TRY(const auto kind, checked_kind(key.get()));
    if (!sound(key.get(), EVP_PKEY_check)) {
        return openssl_error(ErrorCode::CryptoBadIdentity, "private wrapping key");
    }
    return std::make_shared<FilePrivateKey>(kind, std::move(key));
}

std::shared_ptr<const PrivateKey> PrivateKey::generate(KeyKind kind) {
    auto key = kind == KeyKind::Sm2 ? generate_key("SM2", "SM2") : generate_key("EC", "prime256v1");
    return std::make_shared<FilePrivateKey>(kind, std::move(key));
}

}  // namespace qiao::crypto
