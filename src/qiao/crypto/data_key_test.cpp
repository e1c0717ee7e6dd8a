#include "qiao/crypto/data_key.h"

#include "qiao/crypto/golden_keys_test.h"
#include "qiao/testing/manual_world.h"

#include <gtest/gtest.h>

#include <set>

namespace qiao::crypto {
namespace {

using testing::ManualWorld;

Bytes from_hex(std::string_view hex) {
    Bytes bytes;
    for (size_t i = 0; i + 1 < hex.size(); i += 2) {
        const auto digits = std::string(hex.substr(i, 2));
        bytes.push_back(static_cast<std::byte>(std::stoi(digits, nullptr, 16)));
    }
    return bytes;
}

Bytes counting_key(const Suite& suite) {
    Bytes key;
    for (size_t i = 0; i < suite.key_bytes(); ++i) {
        key.push_back(static_cast<std::byte>(i));
    }
    return key;
}

const Suite& gm() { return *find_suite(SuiteId::Gm); }

const Suite& intl() { return *find_suite(SuiteId::Intl); }

TEST(NonceSource, IsSaltThenCounterLittleEndian) {
    NonceSource nonces(0x0A0B0C0D);
    EXPECT_EQ(to_hex(nonces.next()), "0d0c0b0a0000000000000000");
    EXPECT_EQ(to_hex(nonces.next()), "0d0c0b0a0100000000000000");
}

TEST(NonceSource, NeverRepeats) {
    NonceSource nonces(7);
    std::set<Nonce> seen;
    for (int i = 0; i < 100'000; ++i) {
        ASSERT_TRUE(seen.insert(nonces.next()).second);
    }
    auto moved = std::move(nonces);
    EXPECT_TRUE(seen.insert(moved.next()).second);
    static_assert(!std::is_copy_constructible_v<NonceSource>);
    static_assert(!std::is_copy_constructible_v<SealingKey>);
}

// Two incarnations of one sender: neither key, id nor salt may come again.
TEST(SealingKey, IsFreshEveryTime) {
    ManualWorld world(23);
    std::set<KeyId> ids;
    std::set<Nonce> nonces;
    for (int i = 0; i < 100; ++i) {
        auto key = SealingKey::make(gm(), world);
        EXPECT_TRUE(ids.insert(key.id()).second);
        EXPECT_TRUE(nonces.insert(key.nonces().next()).second);
    }
}

class Wrapping : public ::testing::TestWithParam<std::tuple<const char*, KeyKind>> {
protected:
    const Suite& suite_ = *find_suite(std::get<0>(GetParam()));
    KeyKind kind_ = std::get<1>(GetParam());
    std::shared_ptr<const PrivateKey> receiver_ =
        PrivateKey::from_pem(Secret(golden::private_pem(kind_))).value();
    ManualWorld world_{29};
};

INSTANTIATE_TEST_SUITE_P(
    SuitesAndKinds,
    Wrapping,
    ::testing::Combine(
        ::testing::Values("gm", "intl"), ::testing::Values(KeyKind::Sm2, KeyKind::P256)
    )
);

// Spec: R-74
TEST_P(Wrapping, ReceiverOpensWhatTheSenderSealed) {
    auto key = SealingKey::make(suite_, world_);
    const auto wrapped = key.wrap(*receiver_->public_key()).value();
    const auto aead = unwrap(suite_, key.id(), wrapped, *receiver_).value();
    for (int packet = 0; packet < 20; ++packet) {
        Bytes plain(world_.number() % 5'000);
        world_.fill(plain);
        auto body = plain;
        const auto nonce = key.nonces().next();
        const auto tag = key.aead().seal(nonce, as_bytes("head"), body);
        ASSERT_TRUE(aead->open(nonce, as_bytes("head"), body, tag));
        ASSERT_EQ(body, plain);
    }
}

TEST_P(Wrapping, IsBoundToKeyIdAndSuite) {
    const auto key = SealingKey::make(suite_, world_);
    const auto wrapped = key.wrap(*receiver_->public_key()).value();
    ASSERT_TRUE(unwrap(suite_, key.id(), wrapped, *receiver_));
    auto other_id = key.id();
    other_id.bytes.back() ^= std::byte{1};
    EXPECT_TRUE(unwrap(suite_, other_id, wrapped, *receiver_).error().is(ErrorCode::CryptoWrongKey)
    );
    const auto& other_suite = &suite_ == &gm() ? intl() : gm();
    EXPECT_TRUE(
        unwrap(other_suite, key.id(), wrapped, *receiver_).error().is(ErrorCode::CryptoWrongKey)
    );
}

TEST_P(Wrapping, OpensForNobodyElse) {
    const auto key = SealingKey::make(suite_, world_);
    const auto wrapped = key.wrap(*receiver_->public_key()).value();
    const auto stranger = PrivateKey::generate(kind_);
    EXPECT_TRUE(unwrap(suite_, key.id(), wrapped, *stranger).error().is(ErrorCode::CryptoWrongKey));
}

TEST_P(Wrapping, HoldsNoPlainKey) {
    const auto key = SealingKey::make(suite_, world_);
    const auto wrapped = key.wrap(*receiver_->public_key()).value();
    const auto secret = receiver_->decrypt(wrapped, {});
    EXPECT_FALSE(secret);
    // The same world again gives the same key, so its bytes are known here.
    ManualWorld again(29);
    Bytes plain(suite_.key_bytes());
    again.fill(plain);
    EXPECT_EQ(as_text(wrapped).find(as_text(plain)), std::string_view::npos);
}

/// The golden envelope opens to the counting key: proven by what that key seals.
void expect_golden(const Suite& suite, KeyKind kind, std::string_view wrapped) {
    const auto receiver = PrivateKey::from_pem(Secret(golden::private_pem(kind))).value();
    const auto aead = unwrap(suite, golden::key_id(), from_hex(wrapped), *receiver);
    ASSERT_TRUE(aead) << aead.error().to_string();
    auto body = to_bytes(as_bytes("golden"));
    const auto tag = suite.make_aead(Secret(counting_key(suite)))->seal(Nonce{}, {}, body);
    ASSERT_TRUE((*aead)->open(Nonce{}, {}, body, tag));
    EXPECT_EQ(as_text(body), "golden");
}

TEST(GoldenWrappedKey, OpensForEver) {
    expect_golden(gm(), KeyKind::Sm2, golden::kSm2Wrapped);
    expect_golden(intl(), KeyKind::P256, golden::kP256Wrapped);
}

TEST(Unwrap, RefusesUnknownVersionAndKind) {
    const auto receiver = PrivateKey::from_pem(Secret(golden::kP256Private)).value();
    const auto good = from_hex(golden::kP256Wrapped);
    for (const size_t at : {size_t{0}, size_t{1}}) {
        for (int value = 0; value < 256; ++value) {
            auto altered = good;
            altered[at] = static_cast<std::byte>(value);
            const auto opened = unwrap(intl(), golden::key_id(), altered, *receiver);
            ASSERT_EQ(opened.has_value(), altered == good) << at << ": " << value;
        }
    }
}

TEST(Unwrap, RefusesRandomBytes) {
    ManualWorld world(31);
    const auto sm2 = PrivateKey::from_pem(Secret(golden::kSm2Private)).value();
    const auto p256 = PrivateKey::from_pem(Secret(golden::kP256Private)).value();
    for (int round = 0; round < 500; ++round) {
        Bytes bytes(world.number() % 300);
        world.fill(bytes);
        if (bytes.size() > 4 && round % 2 == 0) {
            bytes[0] = std::byte{1};
            bytes[1] = static_cast<std::byte>(1 + round / 2 % 2);
            bytes[3] = std::byte{0};
        }
        for (const auto& receiver : {sm2, p256}) {
            const auto opened = unwrap(gm(), golden::key_id(), bytes, *receiver);
            ASSERT_TRUE(!opened && opened.error().is(ErrorCode::CryptoWrongKey));
        }
    }
}

}  // namespace
}  // namespace qiao::crypto
