#include "qiao/common/crc32c.h"
#include "qiao/crypto/golden_keys_test.h"
#include "qiao/packet/compression.h"
#include "qiao/packet/seal.h"
#include "qiao/testing/golden.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>

/// One version up and down: what 1.1 adds is skipped by the rules of 1.0, as they stand on the
/// format's page and are followed here once more; what a reader must know and does not is refused.
namespace qiao::packet {
namespace {

constexpr size_t kOriginAt = 8;      ///< behind magic, version and length
constexpr size_t kSealedBytes = 70;  ///< of the hop header, from route to sealed length
constexpr size_t kHopBytes = kSealedBytes + 20;

template <class Id>
Id filled(int byte) {
    Id id;
    id.bytes.fill(static_cast<std::byte>(byte));
    return id;
}

/// A header of this version with its addition.
OriginHeader origin_with_release() {
    OriginHeader origin;
    origin.optional_features = kFeatureRelease;
    origin.stream = filled<StreamId>(0x51);
    origin.source = "shop";
    origin.epoch = {1};
    origin.sequence = {2};
    origin.previous_sequence = {1};
    origin.previous_digest = filled<Digest>(0xD4);
    origin.captured = {1'767'225'600'001'000};
    origin.trace = filled<TraceId>(0x77);
    origin.path = {"unit-a"};
    origin.release = "0.2.0";
    return origin;
}

/// The golden data key, a nonce that stands still, and "body" for a body.
Bytes packet_with_release() {
    HopHeader hop;
    hop.suite = crypto::SuiteId::Gm;
    hop.key = crypto::golden::key_id();
    hop.nonce.fill(std::byte{0x0E});
    auto body = to_bytes(as_bytes(std::string_view("body")));
    hop.raw_bytes = hop.sealed_bytes = static_cast<uint32_t>(body.size());
    const auto header = encode_header(origin_with_release(), hop);
    const auto& suite = *crypto::find_suite(crypto::SuiteId::Gm);
    Bytes key(16);
    for (size_t i = 0; i < key.size(); ++i) {
        key[i] = static_cast<std::byte>(i);
    }
    const auto aead = suite.make_aead(Secret(std::move(key)));
    const auto tag = aead->seal(hop.nonce, ByteView(header.bytes).first(header.sealed_size), body);
    ByteWriter wire;
    wire.append(header.bytes);
    wire.append(body);
    wire.append(tag);
    return std::move(wire).take();
}

Bytes golden_packet() {
    std::ifstream in(testing::golden_folder("packet") + "/packet_1_1.hex");
    EXPECT_TRUE(in);
    Bytes bytes;
    for (std::string line; std::getline(in, line);) {
        for (size_t at = 0; at + 1 < line.size(); at += 2) {
            bytes.push_back(static_cast<std::byte>(std::stoi(line.substr(at, 2), nullptr, 16)));
        }
    }
    return bytes;
}

/// What a reader of 1.0 does with the bytes of a packet. Nothing: it refuses them.
struct ReadByOneZero {
    std::string source;
    uint64_t sequence = 0;
    uint64_t required = 0;
    std::string path;
    Bytes body;
};

std::optional<ReadByOneZero> read_by_the_rules_of_one_zero(ByteView wire) {
    ReadByOneZero read;
    ByteReader in(wire);
    const bool packet = as_text(in.take(4)) == "QIAO" && in.get<uint8_t>() == 1;
    (void)in.get<uint8_t>();  // any minor version
    const size_t origin_end = in.get<uint16_t>();
    if (!packet || origin_end + kHopBytes > wire.size()) {
        return std::nullopt;
    }
    ByteReader crc(wire.subspan(origin_end + kHopBytes - 4, 4));
    if (crc.get<uint32_t>() != crc32c(wire.first(origin_end + kHopBytes - 4))) {
        return std::nullopt;
    }
    ByteReader origin(wire.subspan(kOriginAt, origin_end - kOriginAt));
    read.required = origin.get<uint64_t>();
    (void)origin.get<uint64_t>();  // optional features that it does not know
    (void)origin.take(1 + 16);
    read.source = as_text(origin.take(origin.get<uint16_t>()));
    (void)origin.take(8);
    read.sequence = origin.get<uint64_t>();
    (void)origin.take(8 + 32);
    for (int position = 0; position < 2; ++position) {
        (void)origin.take(1);
        (void)origin.take(origin.get<uint16_t>());
        (void)origin.take(origin.get<uint16_t>());
    }
    (void)origin.take(1 + 8 + 4 + 20 + 24 + 16);
    const auto nodes = origin.get<uint8_t>();
    for (int node = 0; node < nodes; ++node) {
        read.path += as_text(origin.take(origin.get<uint16_t>()));
    }
    (void)origin.take(1 + 4);
    (void)origin.take(origin.get<uint16_t>());
    if (!origin.ok()) {
        return std::nullopt;
    }
    ByteReader hop(wire.subspan(origin_end));
    (void)hop.take(32 + 1 + 16);
    crypto::Nonce nonce{};
    std::ranges::copy(hop.take(nonce.size()), nonce.begin());
    (void)hop.take(1 + 4);
    const auto sealed = hop.get<uint32_t>();
    ByteReader rest(wire.subspan(origin_end + kHopBytes));
    read.body = to_bytes(rest.take(sealed));
    crypto::Tag tag{};
    std::ranges::copy(rest.take(tag.size()), tag.begin());
    Bytes key(16);
    for (size_t i = 0; i < key.size(); ++i) {
        key[i] = static_cast<std::byte>(i);
    }
    const auto aead = crypto::find_suite(crypto::SuiteId::Gm)->make_aead(Secret(std::move(key)));
    const auto associated = wire.first(origin_end + kSealedBytes);
    if (!rest.ok() || !rest.at_end() || !aead->open(nonce, associated, read.body, tag)) {
        return std::nullopt;
    }
    return read;
}

/// A packet with something else at a place of its header, and the checksum made right.
Bytes altered(Bytes wire, size_t at, uint8_t value) {
    uint16_t origin_end = 0;
    std::memcpy(&origin_end, &wire.at(6), sizeof(origin_end));
    wire.at(at) = std::byte{value};
    const auto checked = origin_end + kHopBytes - 4;
    const auto crc = crc32c(ByteView(wire).first(checked));
    std::memcpy(&wire.at(checked), &crc, sizeof(crc));
    return wire;
}

std::string code_of(const Result<PacketView>& view) {
    return view ? "read" : std::string(view.error().info().name);
}

// Spec: R-20
TEST(PacketVersion, TheWriterOfOneOneStillWritesTheSameBytes) {
    const auto wire = packet_with_release();
    if (const auto* target = std::getenv("QIAO_WRITE_GOLDEN")) {
        std::ofstream out(std::string(target) + "/packet_1_1.hex");
        for (size_t at = 0; at < wire.size(); at += 32) {
            out << to_hex(ByteView(wire).subspan(at, std::min<size_t>(32, wire.size() - at)))
                << "\n";
        }
        return;
    }
    EXPECT_EQ(to_hex(wire), to_hex(golden_packet()));
    EXPECT_EQ(wire.at(4), std::byte{1});
    EXPECT_EQ(wire.at(5), std::byte{1});
}

TEST(PacketVersion, APacketOfOneOneIsReadable) {
    const auto wire = golden_packet();
    const auto view = PacketView::parse(wire);
    ASSERT_TRUE(view) << view.error().to_string();
    EXPECT_EQ(view->origin, origin_with_release());
}

TEST(PacketVersion, WhatNeedsNothingOfOneOneIsWrittenAsOneZero) {
    auto origin = origin_with_release();
    origin.optional_features = 0;
    const auto plain = encode_header(origin, {});
    origin.release.clear();
    EXPECT_EQ(plain.bytes, encode_header(origin, {}).bytes);
    EXPECT_EQ(plain.bytes.at(5), std::byte{0});
}

// A program that was rolled back has such packets in its trail, and gets them over the link.
TEST(PacketVersion, AReaderOfOneZeroReadsWhatOneOneWrites) {
    const auto read = read_by_the_rules_of_one_zero(golden_packet());
    ASSERT_TRUE(read);
    EXPECT_EQ(read->source, "shop");
    EXPECT_EQ(read->sequence, 2U);
    EXPECT_EQ(read->required, 0U);
    EXPECT_EQ(read->path, "unit-a");
    EXPECT_EQ(as_text(read->body), "body");
    // The rules are those of the page: nothing that is altered passes them.
    for (size_t at = 0; at < golden_packet().size(); ++at) {
        auto wrong = golden_packet();
        wrong[at] ^= std::byte{0x80};
        EXPECT_FALSE(read_by_the_rules_of_one_zero(wrong)) << at;
    }
}

TEST(PacketVersion, AReaderPassesOverWhatALaterMinorVersionAdds) {
    // As 1.2 might write it: one more optional feature, and a field behind what is known.
    auto origin = origin_with_release();
    auto wire = altered(golden_packet(), 5, 2);
    EXPECT_EQ(code_of(PacketView::parse(wire)), "read");
    wire = altered(golden_packet(), 16 + 7, 0x40);
    const auto view = PacketView::parse(wire);
    ASSERT_TRUE(view);
    origin.optional_features |= uint64_t{0x40} << 56U;
    EXPECT_EQ(view->origin, origin);
    // A field that it does not know stands behind those that it does.
    auto longer = golden_packet();
    const auto origin_end = longer.size() - 4 - crypto::kTagBytes - kHopBytes;
    longer.insert(longer.begin() + static_cast<ptrdiff_t>(origin_end), 6, std::byte{0x55});
    const auto length = static_cast<uint16_t>(origin_end + 6);
    std::memcpy(&longer.at(6), &length, sizeof(length));
    wire = altered(longer, 5, 2);
    const auto with_more = PacketView::parse(wire);
    ASSERT_TRUE(with_more) << with_more.error().to_string();
    EXPECT_EQ(with_more->origin, origin_with_release());
}

TEST(PacketVersion, WhatMustBeKnownAndIsNotIsRefusedByItsCode) {
    const auto wire = golden_packet();
    EXPECT_EQ(code_of(PacketView::parse(altered(wire, 4, 2))), "packet.too_new");
    for (size_t bit = 0; bit < 64; ++bit) {
        const auto with_bit =
            altered(wire, kOriginAt + bit / 8, static_cast<uint8_t>(1U << (bit % 8)));
        EXPECT_EQ(code_of(PacketView::parse(with_bit)), "packet.too_new") << bit;
    }
    // Kinds, suites and compressions that come later are no forgeries.
    EXPECT_EQ(code_of(PacketView::parse(altered(wire, 24, 12))), "packet.too_new");
    EXPECT_EQ(code_of(PacketView::parse(altered(wire, 24, 255))), "packet.too_new");
    EXPECT_EQ(code_of(PacketView::parse(altered(wire, 24, 0))), "packet.malformed");
    const auto origin_end = wire.size() - 4 - crypto::kTagBytes - kHopBytes;
    const auto other_suite = altered(wire, origin_end + 32, 9);
    const auto view = PacketView::parse(other_suite);
    ASSERT_TRUE(view) << view.error().to_string();
    EXPECT_TRUE(view->digest().error().is(ErrorCode::PacketTooNew));
    const auto opened = decompress(as_bytes(std::string_view("x")), static_cast<Compression>(3), 9);
    EXPECT_TRUE(opened.error().is(ErrorCode::PacketTooNew));
}

}  // namespace
}  // namespace qiao::packet
