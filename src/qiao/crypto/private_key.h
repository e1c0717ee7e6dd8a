#pragma once

#include "qiao/common/bytes.h"
#include "qiao/common/result.h"
#include "qiao/common/secret.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace qiao::crypto {

enum class KeyKind : uint8_t { Sm2, P256 };

/// The public half of a wrapping key. Immutable; any thread.
class PublicKey {
public:
    virtual ~PublicKey() = default;
    virtual KeyKind kind() const = 0;
    virtual std::string to_pem() const = 0;
    /// Encrypts a short secret to the holder of the private half; `context` is bound to it: the
    /// same bytes are needed to open it. Layout: docs/reference/formats/wrapped_key.md.
    /// Errors: crypto.wrong_key when the key cannot encrypt.
    virtual Result<Bytes> encrypt(const Secret& secret, ByteView context) const = 0;

    /// SPKI, on a curve given by name. Errors: crypto.bad_identity.
    static Result<std::shared_ptr<const PublicKey>> from_pem(std::string_view pem);
};

/// Private-key operations as a plug: a file's key here, a card's or provider's later. The key
/// itself never leaves it. Immutable; any thread. Spec, H-25
class PrivateKey {
public:
    virtual ~PrivateKey() = default;
    virtual KeyKind kind() const = 0;
    virtual std::shared_ptr<const PublicKey> public_key() const = 0;
    /// `encrypted` may be foreign. Errors: crypto.wrong_key (made for another key or context, or
    /// altered).
    virtual Result<Secret> decrypt(ByteView encrypted, ByteView context) const = 0;
    /// PKCS#8 without a passphrase, for a file of mode 0600; a card's key gives an error.
    virtual Result<Secret> to_pem() const = 0;

    /// PKCS#8 or the older EC form, not encrypted. Errors: crypto.bad_identity.
    static Result<std::shared_ptr<const PrivateKey>> from_pem(const Secret& pem);
    static std::shared_ptr<const PrivateKey> generate(KeyKind kind);
};

}  // namespace qiao::crypto
