// The national suite by libgcrypt: OpenSSL 3.0 has no SM4-GCM, and its SM4 is several times slower.

#include "qiao/common/assert.h"
#include "qiao/crypto/internal/free_with.h"
#include "qiao/crypto/internal/suites.h"

#include <gcrypt.h>

#include <type_traits>

namespace qiao::crypto {
namespace {

constexpr size_t kSm4KeyBytes = 16;
// 1.9 brought SM4, 1.10 its fast GCM.
constexpr const char* kVersionMin = "1.10.0";

// Both wipe what they hold when they close.
using OwnedCipher =
    std::unique_ptr<std::remove_pointer_t<gcry_cipher_hd_t>, FreeWith<gcry_cipher_close>>;
using OwnedDigest = std::unique_ptr<std::remove_pointer_t<gcry_md_hd_t>, FreeWith<gcry_md_close>>;

void set_up_libgcrypt() {
    // gcry_check_version initialises the library, so it comes first; another user of the library
    // in this process may have finished the initialisation already.
    QIAO_ASSERT(gcry_check_version(kVersionMin) != nullptr);
    if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P) == 0) {
        // Data keys lie in Secret, which is wiped; the small locked pool would only print warnings
        // where memory may not be locked.
        gcry_control(GCRYCTL_SUSPEND_SECMEM_WARN);
        gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
        gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    }
    QIAO_ASSERT(gcry_cipher_test_algo(GCRY_CIPHER_SM4) == 0);
    QIAO_ASSERT(gcry_md_test_algo(GCRY_MD_SM3) == 0);
}

class Sm4Gcm final : public Aead {
public:
    explicit Sm4Gcm(const Secret& key) {
        const auto bytes = key.reveal();
        QIAO_ASSERT(bytes.size() == kSm4KeyBytes);
        gcry_cipher_hd_t opened = nullptr;
        QIAO_ASSERT(gcry_cipher_open(&opened, GCRY_CIPHER_SM4, GCRY_CIPHER_MODE_GCM, 0) == 0);
        cipher_.reset(opened);
        QIAO_ASSERT(gcry_cipher_setkey(opened, bytes.data(), bytes.size()) == 0);
    }

    Tag seal(const Nonce& nonce, ByteView associated, MutableByteView body) override {
        start(nonce, associated);
        if (!body.empty()) {
            QIAO_ASSERT(
                gcry_cipher_encrypt(cipher_.get(), body.data(), body.size(), nullptr, 0) == 0
            );
        }
        Tag tag{};
        QIAO_ASSERT(gcry_cipher_gettag(cipher_.get(), tag.data(), tag.size()) == 0);
        return tag;
    }

    Status open(const Nonce& nonce, ByteView associated, MutableByteView body, const Tag& tag)
        override {
        start(nonce, associated);
        if (!body.empty()) {
            QIAO_ASSERT(
                gcry_cipher_decrypt(cipher_.get(), body.data(), body.size(), nullptr, 0) == 0
            );
        }
        if (gcry_cipher_checktag(cipher_.get(), tag.data(), tag.size()) != 0) {
            wipe(body);
            return Error(ErrorCode::CryptoForged, "SM4-GCM tag does not match");
        }
        return {};
    }

private:
    void start(const Nonce& nonce, ByteView associated) {
        QIAO_ASSERT(gcry_cipher_reset(cipher_.get()) == 0);
        QIAO_ASSERT(gcry_cipher_setiv(cipher_.get(), nonce.data(), nonce.size()) == 0);
        if (!associated.empty()) {
            const auto error =
                gcry_cipher_authenticate(cipher_.get(), associated.data(), associated.size());
            QIAO_ASSERT(error == 0);
        }
    }

    OwnedCipher cipher_;
};

class Sm3 final : public Hasher {
public:
    Sm3() {
        gcry_md_hd_t opened = nullptr;
        QIAO_ASSERT(gcry_md_open(&opened, GCRY_MD_SM3, 0) == 0);
        digest_.reset(opened);
    }

    void update(ByteView bytes) override {
        if (!bytes.empty()) {
            gcry_md_write(digest_.get(), bytes.data(), bytes.size());
        }
    }

    Digest finish() override {
        const auto* bytes =
            reinterpret_cast<const std::byte*>(gcry_md_read(digest_.get(), GCRY_MD_SM3));
        QIAO_ASSERT(bytes != nullptr);
        const auto digest = Digest::from({bytes, Digest::kSize});
        gcry_md_reset(digest_.get());
        return digest;
    }

private:
    OwnedDigest digest_;
};

class GmSuite final : public Suite {
public:
    GmSuite() { set_up_libgcrypt(); }

    SuiteId id() const override { return SuiteId::Gm; }

    std::string_view name() const override { return "gm"; }

    size_t key_bytes() const override { return kSm4KeyBytes; }

    std::unique_ptr<Aead> make_aead(const Secret& key) const override {
        return std::make_unique<Sm4Gcm>(key);
    }

    std::unique_ptr<Hasher> make_hasher() const override { return std::make_unique<Sm3>(); }
};

}  // namespace

const Suite& gm_suite() {
    static const GmSuite suite;
    return suite;
}

}  // namespace qiao::crypto
