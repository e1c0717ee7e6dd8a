#include "qiao/crypto/suite.h"

#include "qiao/testing/manual_world.h"

#include <gtest/gtest.h>

#include <string>

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

Nonce nonce_of(std::string_view hex) {
    Nonce nonce{};
    std::ranges::copy(from_hex(hex), nonce.begin());
    return nonce;
}

struct KnownAnswer {
    const char* name;
    SuiteId suite;
    std::string_view key, nonce, associated, plain, sealed, tag;
};

constexpr std::string_view kGcmPlain =
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255";
constexpr std::string_view kGcmSealed =
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad";
constexpr std::string_view kGcmKey =
    "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
constexpr std::string_view kZeroKey =
    "0000000000000000000000000000000000000000000000000000000000000000";
constexpr std::string_view kZeroNonce = "000000000000000000000000";
constexpr std::string_view kAssociated = "feedfacedeadbeeffeedfacedeadbeefabaddad2";

constexpr KnownAnswer kKnownAnswers[] = {
    {"Rfc8998A1",
     SuiteId::Gm,
     "0123456789abcdeffedcba9876543210",
     "00001234567800000000abcd",
     kAssociated,
     "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd"
     "eeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa",
     "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
     "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d",
     "83de3541e4c2b58177e065a9bf7b62ec"},
    {"GcmTestCase13",
     SuiteId::Intl,
     kZeroKey,
     kZeroNonce,
     "",
     "",
     "",
     "530f8afbc74536b9a963b4f1c4cb738b"},
    {"GcmTestCase14",
     SuiteId::Intl,
     kZeroKey,
     kZeroNonce,
     "",
     "00000000000000000000000000000000",
     "cea7403d4d606b6e074ec5d3baf39d18",
     "d0d1c8a799996bf0265b98b5d48ab919"},
    {"GcmTestCase15",
     SuiteId::Intl,
     kGcmKey,
     "cafebabefacedbaddecaf888",
     "",
     kGcmPlain,
     kGcmSealed,
     "b094dac5d93471bdec1a502270e3cc6c"},
    {"GcmTestCase16",
     SuiteId::Intl,
     kGcmKey,
     "cafebabefacedbaddecaf888",
     kAssociated,
     kGcmPlain.substr(0, 120),
     kGcmSealed.substr(0, 120),
     "76fc6ece0f4e1768cddf8853bb2d551b"},
};

class KnownAnswers : public ::testing::TestWithParam<KnownAnswer> {};

// Spec: R-74
TEST_P(KnownAnswers, AreSealedAndOpenedAsPublished) {
    const auto& known = GetParam();
    const auto aead = find_suite(known.suite)->make_aead(Secret(from_hex(known.key)));
    const auto nonce = nonce_of(known.nonce);
    const auto associated = from_hex(known.associated);
    auto body = from_hex(known.plain);
    const auto tag = aead->seal(nonce, associated, body);
    EXPECT_EQ(to_hex(body), known.sealed);
    EXPECT_EQ(to_hex(tag), known.tag);
    ASSERT_TRUE(aead->open(nonce, associated, body, tag));
    EXPECT_EQ(to_hex(body), known.plain);
}

INSTANTIATE_TEST_SUITE_P(
    Published,
    KnownAnswers,
    ::testing::ValuesIn(kKnownAnswers),
    [](const auto& info) { return std::string(info.param.name); }
);

// GB/T 32905-2016 A.1 and A.2; FIPS 180-4.
TEST(Suite, DigestsAreAsPublished) {
    const auto& gm = *find_suite("gm");
    const auto& intl = *find_suite("intl");
    EXPECT_EQ(
        gm.digest({as_bytes("abc")}).to_string(),
        "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    );
    std::string repeated;
    for (int i = 0; i < 16; ++i) {
        repeated += "abcd";
    }
    EXPECT_EQ(
        gm.digest({as_bytes(repeated)}).to_string(),
        "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"
    );
    EXPECT_EQ(
        intl.digest({as_bytes("abc")}).to_string(),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    EXPECT_EQ(
        intl.digest({}).to_string(),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
}

TEST(Suite, IsFoundByNumberAndNameAndNothingElseIs) {
    EXPECT_EQ(find_suite(SuiteId::Gm), find_suite("gm"));
    EXPECT_EQ(find_suite(SuiteId::Intl), find_suite("intl"));
    EXPECT_EQ(&default_suite(), find_suite("gm"));
    EXPECT_EQ(find_suite(""), nullptr);
    EXPECT_EQ(find_suite("GM"), nullptr);
    EXPECT_EQ(find_suite("null"), nullptr);
    for (int number = 0; number < 256; ++number) {
        const auto* suite = find_suite(static_cast<SuiteId>(number));
        EXPECT_EQ(suite != nullptr, number == 1 || number == 2) << number;
    }
}

class EachSuite : public ::testing::TestWithParam<const char*> {
protected:
    Bytes random_bytes(size_t count) {
        Bytes bytes(count);
        world_.fill(bytes);
        return bytes;
    }

    Nonce random_nonce() {
        Nonce nonce{};
        world_.fill(nonce);
        return nonce;
    }

    const Suite& suite_ = *find_suite(GetParam());
    ManualWorld world_{7};
};

INSTANTIATE_TEST_SUITE_P(Suites, EachSuite, ::testing::Values("gm", "intl"), [](const auto& info) {
    return std::string(info.param);
});

TEST_P(EachSuite, OpensWhatItSealedAtEveryLength) {
    const Secret key(random_bytes(suite_.key_bytes()));
    const auto sealing = suite_.make_aead(key);
    const auto opening = suite_.make_aead(key);
    for (size_t length = 0; length < 300; ++length) {
        const auto plain = random_bytes(length);
        const auto associated = random_bytes(world_.number() % 64);
        const auto nonce = random_nonce();
        auto body = plain;
        const auto tag = sealing->seal(nonce, associated, body);
        if (length >= 16) {
            EXPECT_NE(body, plain);
        }
        ASSERT_TRUE(opening->open(nonce, associated, body, tag));
        ASSERT_EQ(body, plain);
    }
}

// Every single bit of body, tag, associated data and nonce; and each part cut or lengthened.
TEST_P(EachSuite, RefusesEveryFlippedBit) {
    const auto aead = suite_.make_aead(Secret(random_bytes(suite_.key_bytes())));
    const auto associated = random_bytes(33);
    const auto nonce = random_nonce();
    auto body = random_bytes(70);
    const auto plain = body;
    const auto tag = aead->seal(nonce, associated, body);

    Bytes all = body;
    all.insert(all.end(), tag.begin(), tag.end());
    all.insert(all.end(), associated.begin(), associated.end());
    all.insert(all.end(), nonce.begin(), nonce.end());
    const auto opens = [&](Bytes altered) {
        const MutableByteView view(altered);
        const auto tag_at = body.size();
        const auto associated_at = tag_at + tag.size();
        const auto nonce_at = associated_at + associated.size();
        Tag its_tag{};
        Nonce its_nonce{};
        std::ranges::copy(view.subspan(tag_at, its_tag.size()), its_tag.begin());
        std::ranges::copy(view.subspan(nonce_at), its_nonce.begin());
        const auto outcome = aead->open(
            its_nonce, view.subspan(associated_at, associated.size()), view.first(tag_at), its_tag
        );
        EXPECT_TRUE(outcome || outcome.error().is(ErrorCode::CryptoForged));
        EXPECT_TRUE(outcome || !std::ranges::equal(view.first(tag_at), plain));
        return outcome.has_value();
    };
    ASSERT_TRUE(opens(all));
    for (size_t bit = 0; bit < all.size() * 8; ++bit) {
        auto altered = all;
        altered[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
        ASSERT_FALSE(opens(altered)) << "bit " << bit;
    }
    ASSERT_TRUE(opens(all)) << "a refusal must not spoil the key";
}

TEST_P(EachSuite, RefusesCutAndLengthenedParts) {
    const auto aead = suite_.make_aead(Secret(random_bytes(suite_.key_bytes())));
    const auto associated = random_bytes(20);
    const auto nonce = random_nonce();
    auto body = random_bytes(48);
    const auto tag = aead->seal(nonce, associated, body);
    for (size_t length = 0; length < body.size(); ++length) {
        auto cut = Bytes(body.begin(), body.begin() + static_cast<ptrdiff_t>(length));
        EXPECT_FALSE(aead->open(nonce, associated, cut, tag)) << length;
    }
    auto longer = body;
    longer.push_back(std::byte{0});
    EXPECT_FALSE(aead->open(nonce, associated, longer, tag));
    // A byte moved from one part to the other.
    auto moved = associated;
    moved.push_back(body.front());
    auto rest = Bytes(body.begin() + 1, body.end());
    EXPECT_FALSE(aead->open(nonce, moved, rest, tag));
}

TEST_P(EachSuite, RefusesAnotherKey) {
    auto key = random_bytes(suite_.key_bytes());
    auto body = random_bytes(100);
    const auto tag = suite_.make_aead(Secret(key))->seal(Nonce{}, {}, body);
    key.back() ^= std::byte{1};
    EXPECT_FALSE(suite_.make_aead(Secret(key))->open(Nonce{}, {}, body, tag));
}

TEST_P(EachSuite, HasherGivesTheSameInPiecesAndStartsAnewAfterFinish) {
    const auto hasher = suite_.make_hasher();
    for (int round = 0; round < 50; ++round) {
        const auto bytes = random_bytes(world_.number() % 1000);
        ByteView rest(bytes);
        while (!rest.empty()) {
            const auto piece = rest.first(1 + world_.number() % rest.size());
            hasher->update(piece);
            rest = rest.subspan(piece.size());
        }
        const auto digest = hasher->finish();
        ASSERT_EQ(digest, suite_.digest({bytes}));
        const auto middle = bytes.size() / 2;
        const auto parts = ByteView(bytes);
        ASSERT_EQ(digest, suite_.digest({parts.first(middle), {}, parts.subspan(middle)}));
    }
}

}  // namespace
}  // namespace qiao::crypto
