#pragma once

#include "qiao/common/bytes.h"
#include "qiao/common/id.h"
#include "qiao/common/result.h"
#include "qiao/common/secret.h"

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>

namespace qiao::crypto {

constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;

using Nonce = std::array<std::byte, kNonceBytes>;
using Tag = std::array<std::byte, kTagBytes>;

/// Authenticated encryption under one data key. Not shared between threads.
class Aead {
public:
    virtual ~Aead() = default;

    /// Encrypts `body` in place and returns the tag over associated data and body. The caller
    /// never uses a nonce twice with one key (see NonceSource). Source: rules 3
    virtual Tag seal(const Nonce& nonce, ByteView associated, MutableByteView body) = 0;

    /// Decrypts in place. On failure the content of `body` is not to be used.
    /// Errors: crypto.forged.
    virtual Status open(
        const Nonce& nonce, ByteView associated, MutableByteView body, const Tag& tag
    ) = 0;
};

/// Running digest of a suite: SM3 or SHA-256, both 32 bytes.
class Hasher {
public:
    virtual ~Hasher() = default;
    virtual void update(ByteView bytes) = 0;
    /// The digest of all that came since construction or the last finish().
    virtual Digest finish() = 0;
};

/// The suite byte of packet headers. Numbers never change.
enum class SuiteId : uint8_t {
    Null = 0,  ///< no encryption; reserved, no build of the library has it
    Gm = 1,    ///< SM4-GCM, SM3, data keys wrapped by SM2
    Intl = 2,  ///< AES-256-GCM, SHA-256, data keys wrapped by P-256
};

/// One row of the table of suites: the first of three plugs (suite, TLS engine, private key), so
/// that a third party's or a card's can be added. Spec: R-74, H-25
class Suite {
public:
    virtual ~Suite() = default;
    virtual SuiteId id() const = 0;
    /// `gm`, `intl`: the word of `--suite`.
    virtual std::string_view name() const = 0;
    virtual size_t key_bytes() const = 0;
    virtual std::unique_ptr<Aead> make_aead(const Secret& key) const = 0;
    virtual std::unique_ptr<Hasher> make_hasher() const = 0;

    Digest digest(std::initializer_list<ByteView> parts) const;
};

/// Null for a number or name that this build does not know.
const Suite* find_suite(SuiteId id);
const Suite* find_suite(std::string_view name);
const Suite& default_suite();

}  // namespace qiao::crypto
