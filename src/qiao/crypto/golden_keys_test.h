#pragma once

#include "qiao/common/id.h"
#include "qiao/crypto/private_key.h"

#include <string_view>

// The worked examples of docs/reference/formats/wrapped_key.md: keys that protect nothing, and data
// keys wrapped for them. Envelopes that were once written must open for ever.

namespace qiao::crypto::golden {

constexpr std::string_view kSm2Private =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqBHM9VAYItBG0wawIBAQQg/EcFn8NFSKZnjv9b\n"
    "iM5aHKpvHGnPRpW9czuE+X1vnAuhRANCAAS5CxL/zdBkhX+aGQrW3EqIyZWToexJ\n"
    "m51mZoo1m1Zslf5uZ6EwcwnGxa0lmqg9y5wvp2S27XA8emy2hf16Yfpe\n"
    "-----END PRIVATE KEY-----\n";
constexpr std::string_view kSm2Public =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoEcz1UBgi0DQgAEuQsS/83QZIV/mhkK1txKiMmVk6Hs\n"
    "SZudZmaKNZtWbJX+bmehMHMJxsWtJZqoPcucL6dktu1wPHpstoX9emH6Xg==\n"
    "-----END PUBLIC KEY-----\n";
/// Suite gm, the data key 00 01 … 0f.
constexpr std::string_view kSm2Wrapped =
    "01017c00307a022100ec430ad30c51882c955c06538d49b6b375e39f46701dbf72d1acc34ebc3816"
    "e102210084d3216dc63690d734a434c0ee7d6a67ab32ced5a3a729066be698b1a758006c0420e817"
    "14101947e82e370c40cf72c6e3f48733e7b6ebd33cfe730a85cca17e3b160410ee6c09927cb2fc3d"
    "a1fe132236f127d39ec85ad8b6830b4d6dd4c84fdc8efdba2e4e256124788ca7ebdfafeaf26daaa0";

constexpr std::string_view kP256Private =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgnFDW6oYFDtmsh0Fa\n"
    "0iSZq0/+uPv6idNZFiJGgbzZx9GhRANCAAS3eCMa9p26F3hmFrWA/Yv6OPrTfXVs\n"
    "PPzb7INUfjflb+C4vrji/aO+efvE3rdvudh0hPwzVmasgmOghD0H7sAm\n"
    "-----END PRIVATE KEY-----\n";
constexpr std::string_view kP256Public =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEt3gjGvaduhd4Zha1gP2L+jj60311\n"
    "bDz82+yDVH435W/guL644v2jvnn7xN63b7nYdIT8M1ZmrIJjoIQ9B+7AJg==\n"
    "-----END PUBLIC KEY-----\n";
/// Suite intl, the data key 00 01 … 1f.
constexpr std::string_view kP256Wrapped =
    "01024100041bc1b74e8c3f7136be909f188011b2915da62583bc2b9869235f55f6f7096b26e90a3b"
    "56479f83e01a8c5ac37294cc17fb4940f731e3663512526662d6f84a3b57eed6398832205a7f4c06"
    "12f5945f87d8f32e27500721433823e0ecfb218767974418353478425f6057e45df34fa49c";

/// The id of both data keys: a0 a1 … af.
inline KeyId key_id() {
    KeyId id;
    for (size_t i = 0; i < KeyId::kSize; ++i) {
        id.bytes[i] = static_cast<std::byte>(0xA0 + i);
    }
    return id;
}

inline std::string_view private_pem(KeyKind kind) {
    return kind == KeyKind::Sm2 ? kSm2Private : kP256Private;
}

inline std::string_view public_pem(KeyKind kind) {
    return kind == KeyKind::Sm2 ? kSm2Public : kP256Public;
}

}  // namespace qiao::crypto::golden
