#include "qiao/packet/seal.h"

#include <gtest/gtest.h>

#include <random>

namespace qiao::packet {
namespace {

using crypto::KeyKind;
using crypto::PrivateKey;
using crypto::SealingKey;
using crypto::SuiteId;

OriginHeader some_origin(Kind kind) {
    OriginHeader origin;
    origin.kind = kind;
    origin.stream.bytes[0] = std::byte{9};
    origin.source = "person@unit-a";
    origin.epoch = {1};
    origin.sequence = {42};
    origin.previous_sequence = {41};
    origin.first = model::SourcePosition::lsn(1, 1, 100);
    origin.last = model::SourcePosition::lsn(1, 1, 200);
    origin.counts = {1, 2, 3, 4, 5};
    origin.path = {"unit-a", "hub"};
    origin.addressee = "centre";
    return origin;
}

Bytes some_body(size_t size) {
    Bytes body(size);
    std::mt19937_64 random(size);
    for (auto& byte : body) {
        byte = static_cast<std::byte>(random() % 7);
    }
    return body;
}

struct Pair {
    explicit Pair(SuiteId suite)
        : receiver(PrivateKey::generate(suite == SuiteId::Gm ? KeyKind::Sm2 : KeyKind::P256)),
          key(SealingKey::make(*crypto::find_suite(suite), system_rng())),
          ring({receiver}) {
        const auto wrapped = wrap_for(key, {receiver->public_key()});
        const auto packet = frame_key_packet(some_origin(Kind::Key), key.suite(), *wrapped);
        const auto added = ring.add(*PacketView::parse(packet.wire));
        EXPECT_TRUE(added) << added.error().to_string();
    }

    std::shared_ptr<const PrivateKey> receiver;
    SealingKey key;
    KeyRing ring;
};

// Spec, H-25
TEST(Seal, GivesBackHeaderAndBodyInEverySuiteAndCompression) {
    for (const auto suite : {SuiteId::Gm, SuiteId::Intl}) {
        Pair pair(suite);
        for (const auto how : {Compression::None, Compression::Zstd, Compression::Lz4}) {
            const auto body = some_body(10'000);
            const auto origin = some_origin(Kind::Rows);
            const auto sealed = seal(origin, {}, body, pair.key, how);
            const auto view = PacketView::parse(sealed.wire);
            ASSERT_TRUE(view) << view.error().to_string();
            EXPECT_EQ(view->origin, origin);
            EXPECT_EQ(view->hop.compression, how);
            EXPECT_EQ(*view->digest(), sealed.digest);
            const auto opened = pair.ring.open(*view);
            ASSERT_TRUE(opened) << opened.error().to_string();
            EXPECT_EQ(*opened, body);
        }
    }
}

// Spec: R-21
TEST(Seal, EveryFlippedBitIsRefused) {
    Pair pair(SuiteId::Gm);
    const auto sealed =
        seal(some_origin(Kind::Rows), {}, some_body(64), pair.key, Compression::None);
    for (size_t bit = 0; bit < sealed.wire.size() * 8; ++bit) {
        auto altered = sealed.wire;
        altered[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
        const auto view = PacketView::parse(altered);
        EXPECT_FALSE(view && pair.ring.open(*view)) << "bit " << bit;
    }
}

TEST(Seal, EveryCutIsRefused) {
    Pair pair(SuiteId::Intl);
    const auto sealed =
        seal(some_origin(Kind::Rows), {}, some_body(64), pair.key, Compression::None);
    for (size_t size = 0; size < sealed.wire.size(); ++size) {
        EXPECT_FALSE(PacketView::parse(ByteView(sealed.wire).first(size))) << size;
    }
}

TEST(KeyRing, TellsAKeyOfSomebodyElseFromAnUnknownOne) {
    Pair pair(SuiteId::Gm);
    Pair other(SuiteId::Gm);
    const auto wrapped = wrap_for(other.key, {other.receiver->public_key()});
    const auto key_packet = frame_key_packet(some_origin(Kind::Key), other.key.suite(), *wrapped);
    const auto added = pair.ring.add(*PacketView::parse(key_packet.wire));
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().code(), ErrorCode::CryptoWrongKey);
    const auto sealed =
        seal(some_origin(Kind::Rows), {}, some_body(9), other.key, Compression::None);
    const auto opened = pair.ring.open(*PacketView::parse(sealed.wire));
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code(), ErrorCode::PacketUnknownKey);
}

// Spec: R-32
TEST(KeyRing, OpensWithAnOlderKeyWhatWasSealedBeforeTheNewOne) {
    Pair before(SuiteId::Gm);
    const auto wrapped = wrap_for(before.key, {before.receiver->public_key()});
    const auto key_packet = frame_key_packet(some_origin(Kind::Key), before.key.suite(), *wrapped);
    const auto sealed =
        seal(some_origin(Kind::Rows), {}, some_body(9), before.key, Compression::None);
    KeyRing ring({PrivateKey::generate(KeyKind::P256), before.receiver});
    ASSERT_TRUE(ring.add(*PacketView::parse(key_packet.wire)));
    EXPECT_TRUE(ring.open(*PacketView::parse(sealed.wire)));
}

TEST(Header, ANewerFormatIsRefusedWithItsCode) {
    Pair pair(SuiteId::Gm);
    auto sealed = seal(some_origin(Kind::Rows), {}, some_body(9), pair.key, Compression::None);
    sealed.wire[4] = std::byte{2};
    const auto view = PacketView::parse(sealed.wire);
    ASSERT_FALSE(view);
    EXPECT_EQ(view.error().code(), ErrorCode::PacketTooNew);
}

}  // namespace
}  // namespace qiao::packet
