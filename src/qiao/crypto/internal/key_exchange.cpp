#include "qiao/crypto/internal/key_exchange.h"

#include "qiao/common/assert.h"
#include "qiao/common/rng.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>

#include <array>

namespace qiao::crypto {
namespace {

constexpr size_t kSm2KeyBytes = 16;
constexpr size_t kP256KeyBytes = 32;
constexpr size_t kCoordinateBytes = 32;
constexpr size_t kPointBytes = 1 + 2 * kCoordinateBytes;
constexpr std::byte kUncompressed{4};
constexpr std::string_view kHkdfInfo = "qiao wrapped key 1";

using Point = std::array<std::byte, kPointBytes>;
using OwnedNumber = std::unique_ptr<BIGNUM, FreeWith<BN_free>>;
using OwnedKdf = std::unique_ptr<EVP_KDF, FreeWith<EVP_KDF_free>>;
using OwnedKdfContext = std::unique_ptr<EVP_KDF_CTX, FreeWith<EVP_KDF_CTX_free>>;

Error refused(std::string_view what) { return openssl_error(ErrorCode::CryptoWrongKey, what); }

OwnedKeyContext context_of(EVP_PKEY* key) {
    ERR_clear_error();
    OwnedKeyContext context(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
    QIAO_ASSERT(context != nullptr);
    return context;
}

Result<Encapsulated> sm2_encapsulate(EVP_PKEY* receiver) {
    Bytes fresh(kSm2KeyBytes);
    system_rng().fill(fresh);
    Secret key(std::move(fresh));
    const auto plain = key.reveal();

    const auto context = context_of(receiver);
    size_t size = 0;
    if (EVP_PKEY_encrypt_init(context.get()) != 1 ||
        EVP_PKEY_encrypt(context.get(), nullptr, &size, raw(plain), plain.size()) != 1) {
        return refused("SM2 encrypt");
    }
    Bytes bytes(size);
    if (EVP_PKEY_encrypt(context.get(), raw_out(bytes), &size, raw(plain), plain.size()) != 1) {
        return refused("SM2 encrypt");
    }
    bytes.resize(size);
    return Encapsulated{.bytes = std::move(bytes), .key = std::move(key)};
}

Result<Secret> sm2_decapsulate(EVP_PKEY* own, ByteView encapsulated) {
    const auto context = context_of(own);
    size_t size = 0;
    if (EVP_PKEY_decrypt_init(context.get()) != 1 ||
        EVP_PKEY_decrypt(context.get(), nullptr, &size, raw(encapsulated), encapsulated.size()) !=
            1) {
        return refused("SM2 decrypt");
    }
    // OpenSSL may ask for more room than it fills; all of it is wiped.
    Bytes room(size);
    const auto decrypted = EVP_PKEY_decrypt(
        context.get(), raw_out(room), &size, raw(encapsulated), encapsulated.size()
    );
    Secret key(to_bytes(ByteView(room).first(decrypted == 1 ? std::min(size, room.size()) : 0)));
    wipe(room);
    if (decrypted != 1) {
        return refused("SM2 decrypt");
    }
    if (key.reveal().size() != kSm2KeyBytes) {
        return Error(ErrorCode::CryptoWrongKey, "SM2 decrypt: the key inside has a wrong length");
    }
    return key;
}

Point point_of(const EVP_PKEY* key) {
    // Coordinate by coordinate: the ready-made encoding follows the form that the PEM text had.
    Point point{kUncompressed};
    size_t offset = 1;
    for (const auto* coordinate : {OSSL_PKEY_PARAM_EC_PUB_X, OSSL_PKEY_PARAM_EC_PUB_Y}) {
        BIGNUM* got = nullptr;
        QIAO_ASSERT(EVP_PKEY_get_bn_param(key, coordinate, &got) == 1);
        const OwnedNumber number(got);
        auto* out = raw_out(MutableByteView(point).subspan(offset));
        QIAO_ASSERT(BN_bn2binpad(got, out, kCoordinateBytes) == kCoordinateBytes);
        offset += kCoordinateBytes;
    }
    return point;
}

Result<Secret> shared_secret(EVP_PKEY* own, EVP_PKEY* peer) {
    const auto context = context_of(own);
    Bytes secret(kCoordinateBytes);
    size_t size = secret.size();
    // set_peer checks that the peer's point lies on the curve.
    if (EVP_PKEY_derive_init(context.get()) != 1 ||
        EVP_PKEY_derive_set_peer(context.get(), peer) != 1 ||
        EVP_PKEY_derive(context.get(), raw_out(secret), &size) != 1) {
        return refused("P-256 key agreement");
    }
    QIAO_ASSERT(size == secret.size());
    return Secret(std::move(secret));
}

Secret expand(const Secret& shared, const Point& ephemeral, const Point& receiver) {
    static const OwnedKdf kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
    const OwnedKdfContext context(EVP_KDF_CTX_new(kdf.get()));
    QIAO_ASSERT(context != nullptr);

    auto info = to_bytes(as_bytes(kHkdfInfo));
    info.insert(info.end(), ephemeral.begin(), ephemeral.end());
    info.insert(info.end(), receiver.begin(), receiver.end());
    auto input = to_bytes(shared.reveal());
    std::string digest = "SHA256";
    const std::array parameters{
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), digest.size()),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, input.data(), input.size()),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
        OSSL_PARAM_construct_end(),
    };
    Bytes key(kP256KeyBytes);
    const auto done = EVP_KDF_derive(context.get(), raw_out(key), key.size(), parameters.data());
    wipe(input);
    QIAO_ASSERT(done == 1);
    return Secret(std::move(key));
}

Result<Encapsulated> p256_encapsulate(EVP_PKEY* receiver) {
    const auto ephemeral = generate_key("EC", "prime256v1");
    QIAO_TRY(const auto shared, shared_secret(ephemeral.get(), receiver));
    const auto point = point_of(ephemeral.get());
    return Encapsulated{.bytes = to_bytes(point), .key = expand(shared, point, point_of(receiver))};
}

Result<Secret> p256_decapsulate(EVP_PKEY* own, ByteView encapsulated) {
    if (encapsulated.size() != kPointBytes || encapsulated.front() != kUncompressed) {
        return Error(ErrorCode::CryptoWrongKey, "P-256 key agreement: not an uncompressed point");
    }
    ERR_clear_error();
    const OwnedKey ephemeral(EVP_PKEY_new());
    QIAO_ASSERT(ephemeral != nullptr && EVP_PKEY_copy_parameters(ephemeral.get(), own) == 1);
    if (EVP_PKEY_set1_encoded_public_key(ephemeral.get(), raw(encapsulated), encapsulated.size()) !=
        1) {
        return refused("P-256 key agreement");
    }
    QIAO_TRY(const auto shared, shared_secret(own, ephemeral.get()));
    Point point{};
    std::ranges::copy(encapsulated, point.begin());
    return expand(shared, point, point_of(own));
}

}  // namespace

Result<Encapsulated> encapsulate(KeyKind kind, EVP_PKEY* receiver) {
    return kind == KeyKind::Sm2 ? sm2_encapsulate(receiver) : p256_encapsulate(receiver);
}

Result<Secret> decapsulate(KeyKind kind, EVP_PKEY* own, ByteView encapsulated) {
    return kind == KeyKind::Sm2 ? sm2_decapsulate(own, encapsulated)
                                : p256_decapsulate(own, encapsulated);
}

}  // namespace qiao::crypto
