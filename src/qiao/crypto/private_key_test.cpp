#include "qiao/crypto/private_key.h"

#include "qiao/crypto/golden_keys_test.h"
#include "qiao/crypto/internal/openssl.h"
#include "qiao/testing/manual_world.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <openssl/core_names.h>

#include <ostream>
#include <type_traits>

namespace qiao::crypto {
namespace {

using testing::ManualWorld;

class EachKind : public ::testing::TestWithParam<KeyKind> {
protected:
    Secret random_secret(size_t bytes) {
        Bytes secret(bytes);
        world_.fill(secret);
        return Secret(std::move(secret));
    }

    KeyKind kind_ = GetParam();
    std::shared_ptr<const PrivateKey> key_ =
        PrivateKey::from_pem(Secret(golden::private_pem(kind_))).value();
    ManualWorld world_{17};
};

INSTANTIATE_TEST_SUITE_P(
    Kinds,
    EachKind,
    ::testing::Values(KeyKind::Sm2, KeyKind::P256),
    [](const auto& info) { return std::string(info.param == KeyKind::Sm2 ? "Sm2" : "P256"); }
);

TEST_P(EachKind, OpensWhatWasEncryptedToItsPublicHalf) {
    const auto receiver = PublicKey::from_pem(golden::public_pem(kind_)).value();
    for (size_t length = 0; length < 70; ++length) {
        const auto secret = random_secret(length);
        const auto context = random_secret(world_.number() % 50);
        const auto encrypted = receiver->encrypt(secret, context.reveal()).value();
        const auto opened = key_->decrypt(encrypted, context.reveal()).value();
        ASSERT_EQ(opened.reveal_text(), secret.reveal_text());
    }
}

TEST_P(EachKind, EncryptsTheSameSecretDifferentlyEachTime) {
    const auto secret = random_secret(32);
    const auto receiver = key_->public_key();
    EXPECT_NE(receiver->encrypt(secret, {}).value(), receiver->encrypt(secret, {}).value());
}

TEST_P(EachKind, RefusesAnotherKeyAndAnotherKind) {
    const auto encrypted = key_->public_key()->encrypt(random_secret(16), {}).value();
    for (const auto kind : {KeyKind::Sm2, KeyKind::P256}) {
        const auto stranger = PrivateKey::generate(kind);
        const auto opened = stranger->decrypt(encrypted, {});
        ASSERT_FALSE(opened);
        EXPECT_TRUE(opened.error().is(ErrorCode::CryptoWrongKey));
    }
}

TEST_P(EachKind, RefusesAnotherContext) {
    const auto secret = random_secret(32);
    const auto encrypted = key_->public_key()->encrypt(secret, as_bytes("key 1")).value();
    ASSERT_TRUE(key_->decrypt(encrypted, as_bytes("key 1")));
    for (const std::string_view context : {"key 2", "key 1 ", "key ", ""}) {
        EXPECT_TRUE(
            key_->decrypt(encrypted, as_bytes(context)).error().is(ErrorCode::CryptoWrongKey)
        );
    }
}

TEST_P(EachKind, RefusesEveryFlippedBitEveryCutAndEveryAddition) {
    const auto encrypted = key_->public_key()->encrypt(random_secret(16), {}).value();
    const auto refuses = [&](ByteView altered) {
        const auto opened = key_->decrypt(altered, {});
        return !opened && opened.error().is(ErrorCode::CryptoWrongKey);
    };
    for (size_t bit = 0; bit < encrypted.size() * 8; ++bit) {
        auto altered = encrypted;
        altered[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
        ASSERT_TRUE(refuses(altered)) << "bit " << bit;
    }
    for (size_t length = 0; length < encrypted.size(); ++length) {
        ASSERT_TRUE(refuses(ByteView(encrypted).first(length))) << length << " bytes";
    }
    for (size_t at = 0; at <= encrypted.size(); ++at) {
        auto longer = encrypted;
        longer.insert(longer.begin() + static_cast<ptrdiff_t>(at), std::byte{0});
        ASSERT_TRUE(refuses(longer)) << "at " << at;
    }
}

TEST_P(EachKind, ComesBackFromItsPemTexts) {
    const auto fresh = PrivateKey::generate(kind_);
    const auto pem = fresh->to_pem().value();
    EXPECT_TRUE(pem.reveal_text().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    const auto again = PrivateKey::from_pem(pem).value();
    EXPECT_EQ(again->kind(), kind_);
    EXPECT_EQ(again->to_pem()->reveal_text(), pem.reveal_text());

    const auto public_pem = fresh->public_key()->to_pem();
    EXPECT_TRUE(public_pem.starts_with("-----BEGIN PUBLIC KEY-----\n"));
    const auto receiver = PublicKey::from_pem(public_pem).value();
    EXPECT_EQ(receiver->kind(), kind_);
    EXPECT_EQ(receiver->to_pem(), public_pem);
    EXPECT_EQ(again->public_key()->to_pem(), public_pem);

    const auto secret = random_secret(16);
    const auto opened = again->decrypt(receiver->encrypt(secret, {}).value(), {}).value();
    EXPECT_EQ(opened.reveal_text(), secret.reveal_text());
}

TEST_P(EachKind, PublicPemTellsNothingOfThePrivateKey) {
    EXPECT_EQ(key_->public_key()->to_pem(), golden::public_pem(kind_));
    EXPECT_FALSE(PublicKey::from_pem(golden::private_pem(kind_)));
    EXPECT_FALSE(PrivateKey::from_pem(Secret(golden::public_pem(kind_))));
}

std::string pem_of_public(const OwnedKey& key) {
    const OwnedBio bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_PUBKEY(bio.get(), key.get());
    return std::string(as_text(written(bio.get())));
}

TEST(PrivateKey, RefusesOtherCurvesAndAlgorithms) {
    const OwnedKey rsa(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", size_t{2048}));
    const OwnedKey ed25519(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
    const auto p384 = generate_key("EC", "secp384r1");
    const auto koblitz = generate_key("EC", "secp256k1");
    for (const auto* key : {&rsa, &ed25519, &p384, &koblitz}) {
        const auto made = PrivateKey::from_pem(Secret(write_private_key(key->get()).value()));
        ASSERT_FALSE(made);
        EXPECT_TRUE(made.error().is(ErrorCode::CryptoBadIdentity));
        EXPECT_TRUE(
            PublicKey::from_pem(pem_of_public(*key)).error().is(ErrorCode::CryptoBadIdentity)
        );
    }
}

// P-256, but with the curve's numbers spelled out instead of its name.
TEST(PrivateKey, RefusesACurveThatIsNotGivenByName) {
    const auto key = generate_key("EC", "prime256v1");
    ASSERT_EQ(
        EVP_PKEY_set_utf8_string_param(key.get(), OSSL_PKEY_PARAM_EC_ENCODING, "explicit"), 1
    );
    const auto refused = PrivateKey::from_pem(Secret(write_private_key(key.get()).value()));
    EXPECT_TRUE(refused.error().is(ErrorCode::CryptoBadIdentity));
    const auto refused_public = PublicKey::from_pem(pem_of_public(key));
    EXPECT_TRUE(refused_public.error().is(ErrorCode::CryptoBadIdentity));
}

TEST(PrivateKey, RefusesAnEncryptedPemWithoutAsking) {
    const auto key = generate_key("EC", "prime256v1");
    const OwnedBio bio(BIO_new(BIO_s_mem()));
    const std::string word = "word";
    PEM_write_bio_PKCS8PrivateKey(
        bio.get(),
        key.get(),
        EVP_aes_256_cbc(),
        word.data(),
        static_cast<int>(word.size()),
        nullptr,
        nullptr
    );
    const auto made = PrivateKey::from_pem(Secret(as_text(written(bio.get()))));
    EXPECT_TRUE(made.error().is(ErrorCode::CryptoBadIdentity));
}

TEST(PrivateKey, ErrorsDoNotQuoteTheInput) {
    const std::string planted = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIB";
    const auto pem = "-----BEGIN PRIVATE KEY-----\n" + planted + "\n-----END PRIVATE KEY-----\n";
    const auto made = PrivateKey::from_pem(Secret(pem));
    ASSERT_FALSE(made);
    for (size_t at = 0; at + 8 <= planted.size(); ++at) {
        const auto part = planted.substr(at, 8);
        EXPECT_EQ(made.error().explain(Language::English).find(part), std::string::npos);
    }
}

template <class T>
concept Printable = requires(std::ostream& out, const T& value) { out << value; };

TEST(Secret, CannotBePrinted) {
    static_assert(Printable<std::string>);
    static_assert(!Printable<Secret>);
    static_assert(!std::is_convertible_v<Secret, std::string_view>);
    static_assert(!std::is_convertible_v<Secret, ByteView>);
    static_assert(!fmt::is_formattable<Secret>::value);
}

}  // namespace
}  // namespace qiao::crypto
