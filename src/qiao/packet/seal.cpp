#include "qiao/packet/seal.h"

#include "qiao/common/assert.h"
#include "qiao/packet/compression.h"

#include <algorithm>

namespace qiao::packet {
namespace {

using Fingerprint = StrongBytes<struct FingerprintTag, 16>;
constexpr size_t kReceiversMost = 1024;

Fingerprint fingerprint(const crypto::PublicKey& key) {
    const auto pem = key.to_pem();
    const auto digest = crypto::find_suite(crypto::SuiteId::Intl)->digest({as_bytes(pem)});
    return Fingerprint::from(digest.view().first(Fingerprint::kSize));
}

Bytes join(const EncodedHeader& header, ByteView body) {
    Bytes wire;
    wire.reserve(header.bytes.size() + body.size() + crypto::kTagBytes);
    wire.insert(wire.end(), header.bytes.begin(), header.bytes.end());
    wire.insert(wire.end(), body.begin(), body.end());
    return wire;
}

}  // namespace

SealedPacket seal(
    const OriginHeader& origin,
    HopHeader hop,
    Bytes body,
    crypto::SealingKey& key,
    Compression compression
) {
    QIAO_ASSERT(body.size() <= kPacketBytesMax && origin.kind != Kind::Key);
    hop.raw_bytes = static_cast<uint32_t>(body.size());
    hop.compression = Compression::None;
    if (auto smaller = compress(body, compression); !smaller.empty()) {
        body = std::move(smaller);
        hop.compression = compression;
    }
    hop.sealed_bytes = static_cast<uint32_t>(body.size());
    hop.suite = key.suite().id();
    hop.key = key.id();
    hop.nonce = key.nonces().next();

    const auto header = encode_header(origin, hop);
    auto wire = join(header, body);
    const auto associated = ByteView(wire).first(header.sealed_size);
    const auto sealed = MutableByteView(wire).subspan(header.bytes.size());
    const auto tag = key.aead().seal(hop.nonce, associated, sealed);
    wire.insert(wire.end(), tag.begin(), tag.end());
    const auto digest =
        key.suite().digest({ByteView(wire).first(header.origin_size), ByteView(tag)});
    return {std::move(wire), digest};
}

SealedPacket frame_key_packet(
    const OriginHeader& origin, const crypto::Suite& suite, const Bytes& body
) {
    QIAO_ASSERT(origin.kind == Kind::Key);
    HopHeader hop;
    hop.suite = suite.id();
    hop.raw_bytes = hop.sealed_bytes = static_cast<uint32_t>(body.size());
    const auto header = encode_header(origin, hop);
    auto wire = join(header, body);
    // The place of the tag holds a digest of the body, so that the packet's digest names it.
    const auto names_body = suite.digest({body});
    const auto tag = names_body.view().first(crypto::kTagBytes);
    wire.insert(wire.end(), tag.begin(), tag.end());
    return {std::move(wire), suite.digest({ByteView(header.bytes).first(header.origin_size), tag})};
}

Status KeyRing::add(const PacketView& key_packet) {
    const auto* suite = crypto::find_suite(key_packet.hop.suite);
    if (suite == nullptr) {
        return Error(ErrorCode::PacketTooNew, "cipher suite of a key packet");
    }
    const auto names_body = suite->digest({key_packet.body});
    if (!std::ranges::equal(names_body.view().first(crypto::kTagBytes), key_packet.tag)) {
        return Error(ErrorCode::PacketMalformed, "key packet");
    }
    ByteReader in(key_packet.body);
    const auto id = KeyId::from(in.take(KeyId::kSize));
    for (auto left = in.get<uint16_t>(); left > 0 && in.ok(); --left) {
        const auto whose = Fingerprint::from(in.take(Fingerprint::kSize));
        const auto wrapped = in.get_sized();
        const auto mine = std::ranges::find_if(receivers_, [&whose](const auto& receiver) {
            return fingerprint(*receiver->public_key()) == whose;
        });
        if (!in.ok() || mine == receivers_.end()) {
            continue;
        }
        QIAO_TRY(keys_[id], crypto::unwrap(*suite, id, wrapped, **mine));
        return {};
    }
    if (!in.ok()) {
        return Error(ErrorCode::PacketMalformed, "key packet");
    }
    return Error(ErrorCode::CryptoWrongKey, "no wrapped key for this receiver");
}

Result<Bytes> KeyRing::open(const PacketView& packet) const {
    const auto found = keys_.find(packet.hop.key);
    if (found == keys_.end()) {
        return Error(ErrorCode::PacketUnknownKey, packet.hop.key.to_string());
    }
    auto body = to_bytes(packet.body);
    QIAO_CHECK(found->second->open(packet.hop.nonce, packet.associated_bytes, body, packet.tag));
    if (packet.hop.compression == Compression::None) {
        if (body.size() != packet.hop.raw_bytes) {
            return Error(ErrorCode::PacketMalformed, "raw length");
        }
        return body;
    }
    return decompress(body, packet.hop.compression, packet.hop.raw_bytes);
}

Result<Bytes> wrap_for(
    const crypto::SealingKey& key,
    const std::vector<std::shared_ptr<const crypto::PublicKey>>& receivers
) {
    QIAO_ASSERT(receivers.size() <= kReceiversMost);
    ByteWriter out;
    out.append(key.id().view());
    out.put(static_cast<uint16_t>(receivers.size()));
    for (const auto& receiver : receivers) {
        QIAO_TRY(const auto wrapped, key.wrap(*receiver));
        out.append(fingerprint(*receiver).view());
        out.put_sized(wrapped);
    }
    return std::move(out).take();
}

}  // namespace qiao::packet
