#include "qiao/common/assert.h"
#include "qiao/crypto/internal/openssl.h"
#include "qiao/crypto/internal/suites.h"

#include <openssl/err.h>

#include <algorithm>

namespace qiao::crypto {
namespace {

constexpr size_t kAesKeyBytes = 32;
// EVP counts in int; longer bodies go through in pieces.
constexpr size_t kPieceBytes = size_t{1} << 30;

using OwnedCipher = std::unique_ptr<EVP_CIPHER_CTX, FreeWith<EVP_CIPHER_CTX_free>>;
using OwnedDigest = std::unique_ptr<EVP_MD_CTX, FreeWith<EVP_MD_CTX_free>>;

/// One direction under one key: the key schedule is made once, a packet only brings a nonce.
class GcmDirection {
public:
    enum class Way : uint8_t { Open = 0, Seal = 1 };

    GcmDirection(const Secret& key, Way way) : context_(EVP_CIPHER_CTX_new()) {
        const auto bytes = key.reveal();
        QIAO_ASSERT(bytes.size() == kAesKeyBytes);
        QIAO_ASSERT(context_ != nullptr);
        const auto done = EVP_CipherInit_ex(
            context_.get(), EVP_aes_256_gcm(), nullptr, raw(bytes), nullptr, static_cast<int>(way)
        );
        QIAO_ASSERT(done == 1);
    }

    void run(const Nonce& nonce, ByteView associated, MutableByteView body) {
        // -1 keeps the direction; no cipher and no key keep the key schedule.
        const auto started =
            EVP_CipherInit_ex(context_.get(), nullptr, nullptr, nullptr, raw(nonce), -1);
        QIAO_ASSERT(started == 1);
        while (!associated.empty()) {
            const auto piece = associated.first(std::min(associated.size(), kPieceBytes));
            update(nullptr, piece);
            associated = associated.subspan(piece.size());
        }
        while (!body.empty()) {
            const auto piece = body.first(std::min(body.size(), kPieceBytes));
            update(raw_out(piece), piece);
            body = body.subspan(piece.size());
        }
    }

    Tag tag() {
        QIAO_ASSERT(finish());
        Tag tag{};
        const auto got =
            EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, tag.data());
        QIAO_ASSERT(got == 1);
        return tag;
    }

    bool matches(Tag tag) {
        const auto set =
            EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag.data());
        QIAO_ASSERT(set == 1);
        return finish();
    }

private:
    void update(unsigned char* out, ByteView in) {
        int size = 0;
        const auto length = static_cast<int>(in.size());
        QIAO_ASSERT(EVP_CipherUpdate(context_.get(), out, &size, raw(in), length) == 1);
        QIAO_ASSERT(size == length);
    }

    bool finish() {
        std::array<unsigned char, kTagBytes> nothing{};
        int size = 0;
        return EVP_CipherFinal_ex(context_.get(), nothing.data(), &size) == 1;
    }

    OwnedCipher context_;
};

class Aes256Gcm final : public Aead {
public:
    explicit Aes256Gcm(const Secret& key)
        : seal_(key, GcmDirection::Way::Seal), open_(key, GcmDirection::Way::Open) {}

    Tag seal(const Nonce& nonce, ByteView associated, MutableByteView body) override {
        seal_.run(nonce, associated, body);
        return seal_.tag();
    }

    Status open(const Nonce& nonce, ByteView associated, MutableByteView body, const Tag& tag)
        override {
        open_.run(nonce, associated, body);
        if (!open_.matches(tag)) {
            ERR_clear_error();
            wipe(body);
            return Error(ErrorCode::CryptoForged, "AES-256-GCM tag does not match");
        }
        return {};
    }

private:
    GcmDirection seal_;
    GcmDirection open_;
};

class Sha256 final : public Hasher {
public:
    Sha256() : context_(EVP_MD_CTX_new()) {
        QIAO_ASSERT(context_ != nullptr);
        QIAO_ASSERT(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
    }

    void update(ByteView bytes) override {
        QIAO_ASSERT(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
    }

    Digest finish() override {
        Digest digest;
        QIAO_ASSERT(EVP_DigestFinal_ex(context_.get(), raw_out(digest.bytes), nullptr) == 1);
        QIAO_ASSERT(EVP_DigestInit_ex(context_.get(), nullptr, nullptr) == 1);
        return digest;
    }

private:
    OwnedDigest context_;
};

class IntlSuite final : public Suite {
public:
    SuiteId id() const override { return SuiteId::Intl; }

    std::string_view name() const override { return "intl"; }

    size_t key_bytes() const override { return kAesKeyBytes; }

    std::unique_ptr<Aead> make_aead(const Secret& key) const override {
        return std::make_unique<Aes256Gcm>(key);
    }

    std::unique_ptr<Hasher> make_hasher() const override { return std::make_unique<Sha256>(); }
};

}  // namespace

const Suite& intl_suite() {
    static const IntlSuite suite;
    return suite;
}

}  // namespace qiao::crypto
