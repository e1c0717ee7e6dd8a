#pragma once

#include "qiao/common/id.h"
#include "qiao/common/rng.h"
#include "qiao/crypto/private_key.h"
#include "qiao/crypto/suite.h"

#include <memory>

namespace qiao::crypto {

/// Nonces of one data key: a random 32-bit salt of the incarnation, then a 64-bit counter. Lives
/// and dies with its key, so no (key, nonce) can come twice. Source: rules 3
class NonceSource {
public:
    explicit NonceSource(uint32_t salt) : salt_(salt) {}

    // A copy would give the same nonces again.
    NonceSource(const NonceSource&) = delete;
    NonceSource& operator=(const NonceSource&) = delete;
    NonceSource(NonceSource&&) = default;
    NonceSource& operator=(NonceSource&&) = default;
    ~NonceSource() = default;

    /// Salt, then counter, both little-endian.
    Nonce next();

    uint32_t salt() const { return salt_; }

private:
    uint32_t salt_;
    uint64_t counter_ = 0;
};

/// A data key made by a sender for one incarnation: seals, and can be wrapped for receivers.
class SealingKey {
public:
    /// Fresh key, id and salt from `rng`.
    static SealingKey make(const Suite& suite, Rng& rng);

    const Suite& suite() const { return *suite_; }

    KeyId id() const { return id_; }

    Aead& aead() { return *aead_; }

    NonceSource& nonces() { return nonces_; }

    /// The key, encrypted to the holder of a wrapping key (SM2 or P-256, by the public key's own
    /// kind). Bound to suite and key id. Layout: docs/reference/formats/wrapped_key.md. Spec: R-74
    Result<Bytes> wrap(const PublicKey& receiver) const;

private:
    SealingKey(const Suite& suite, KeyId id, Secret key, uint32_t salt);

    const Suite* suite_;
    KeyId id_;
    Secret key_;
    std::unique_ptr<Aead> aead_;
    NonceSource nonces_;
};

/// Opens a wrapped key. Errors: crypto.wrong_key (made for somebody else, or altered).
Result<std::unique_ptr<Aead>> unwrap(
    const Suite& suite, KeyId id, ByteView wrapped, const PrivateKey& receiver
);

}  // namespace qiao::crypto
