#include "qiao/crypto/data_key.h"

#include "qiao/common/assert.h"

#include <limits>

namespace qiao::crypto {
namespace {

/// What a wrapped data key is bound to: purpose, suite and id. A key cannot be passed off under
/// another id, nor be used with another cipher than it was made for.
Bytes binding(const Suite& suite, KeyId id) {
    ByteWriter writer;
    writer.append(as_bytes("qiao data key"));
    writer.put(static_cast<uint8_t>(suite.id()));
    writer.append(id.view());
    return std::move(writer).take();
}

Secret fresh_key(const Suite& suite, Rng& rng) {
    Bytes key(suite.key_bytes());
    rng.fill(key);
    return Secret(std::move(key));
}

}  // namespace

Nonce NonceSource::next() {
    // Not reached in any life; a wrap would be the one thing that breaks GCM altogether.
    QIAO_ASSERT(counter_ != std::numeric_limits<uint64_t>::max());
    ByteWriter writer;
    writer.put(salt_);
    writer.put(counter_);
    ++counter_;
    Nonce nonce{};
    QIAO_ASSERT(writer.size() == nonce.size());
    std::ranges::copy(writer.view(), nonce.begin());
    return nonce;
}

SealingKey::SealingKey(const Suite& suite, KeyId id, Secret key, uint32_t salt)
    : suite_(&suite), id_(id), key_(std::move(key)), aead_(suite.make_aead(key_)), nonces_(salt) {}

SealingKey SealingKey::make(const Suite& suite, Rng& rng) {
    auto key = fresh_key(suite, rng);
    const auto id = rng.make_id<KeyId>();
    const auto salt = static_cast<uint32_t>(rng.number());
    return {suite, id, std::move(key), salt};
}

Result<Bytes> SealingKey::wrap(const PublicKey& receiver) const {
    return receiver.encrypt(key_, binding(*suite_, id_));
}

Result<std::unique_ptr<Aead>> unwrap(
    const Suite& suite, KeyId id, ByteView wrapped, const PrivateKey& receiver
) {
    QIAO_TRY(const auto key, receiver.decrypt(wrapped, binding(suite, id)));
    if (key.reveal().size() != suite.key_bytes()) {
        return Error(ErrorCode::CryptoWrongKey, "wrapped key: wrong length for its suite");
    }
    return suite.make_aead(key);
}

}  // namespace qiao::crypto
