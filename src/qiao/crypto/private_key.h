#pragma once

#include "qiao/common/bytes.h"
#include "qiao/common/result.h"
#include "qiao/common/secret.h"

#include <cstdint>
#include <memory>
#include <string>

namespace qiao::crypto {

enum class KeyKind : uint8_t { Sm2, P256 };

/// The public half of a wrapping key.
class PublicKey {
public:
    virtual ~PublicKey() = default;
    virtual KeyKind kind() const = 0;
    virtual std::string to_pem() const = 0;
    /// Encrypts a short secret to the holder of the private half; `context` is bound to it.
    virtual Result<Bytes> encrypt(const Secret& secret, ByteView context) const = 0;

    static Result<std::shared_ptr<const PublicKey>> from_pem(std::string_view pem);
};

/// Private-key operations as a plug: a file's key here, a card's or provider's later. The key
/// itself never leaves it.
class PrivateKey {
public:
    virtual ~PrivateKey() = default;
    virtual KeyKind kind() const = 0;
    virtual std::shared_ptr<const PublicKey> public_key() const = 0;
    /// Errors: crypto.wrong_key.
    virtual Result<Secret> decrypt(ByteView encrypted, ByteView context) const = 0;
    /// For files only; a card's key gives an error.
    virtual Result<Secret> to_pem() const = 0;

    static Result<std::shared_ptr<const PrivateKey>> from_pem(const Secret& pem);
    static std::shared_ptr<const PrivateKey> generate(KeyKind kind);
};

}  // namespace qiao::crypto
