#include "qiao/packet/header.h"

#include "qiao/common/crc32c.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::packet {
namespace {

constexpr uint32_t kMagic = 0x4F414951;  // "QIAO" in file order
constexpr size_t kPathMost = 255;
/// Whoever knows no more than version 1.0 reads what has none of these.
constexpr uint64_t kFeaturesOfOneOne = kFeatureRelease;

void put(ByteWriter& out, const Digest& digest) { out.append(digest.view()); }

void put(ByteWriter& out, WallTime time) { out.put(static_cast<uint64_t>(time.us)); }

WallTime get_time(ByteReader& in) { return {static_cast<int64_t>(in.get<uint64_t>())}; }

template <class StrongId>
StrongId get_id(ByteReader& in) {
    return StrongId::from(in.take(StrongId::kSize));
}

void put_short_text(ByteWriter& out, std::string_view text) {
    out.put(static_cast<uint16_t>(text.size()));
    out.append(as_bytes(text));
}

std::string get_short_text(ByteReader& in) {
    return std::string(as_text(in.take(in.get<uint16_t>())));
}

void put_origin(ByteWriter& out, const OriginHeader& origin) {
    out.put(origin.required_features);
    out.put(origin.optional_features);
    out.put(static_cast<uint8_t>(origin.kind));
    out.append(origin.stream.view());
    put_short_text(out, origin.source);
    out.put(origin.epoch.value);
    out.put(origin.sequence.value);
    out.put(origin.previous_sequence.value);
    put(out, origin.previous_digest);
    origin.first.encode(out);
    origin.last.encode(out);
    out.put(origin.transaction_flags);
    out.put(origin.fragment_xid);
    out.put(origin.fragment);
    out.put(origin.counts.inserts);
    out.put(origin.counts.updates);
    out.put(origin.counts.deletes);
    out.put(origin.counts.truncates);
    out.put(origin.counts.transactions);
    put(out, origin.event_first);
    put(out, origin.event_last);
    put(out, origin.captured);
    out.append(origin.trace.view());
    out.put(static_cast<uint8_t>(std::min(origin.path.size(), kPathMost)));
    for (size_t i = 0; i < std::min(origin.path.size(), kPathMost); ++i) {
        put_short_text(out, origin.path[i]);
    }
    out.put(origin.hop_limit);
    out.put(origin.generation);
    put_short_text(out, origin.addressee);
    if ((origin.optional_features & kFeatureRelease) != 0) {
        put_short_text(out, origin.release);
    }
}

bool known(Kind kind) { return kind >= Kind::Rows && kind <= Kind::Carried; }

OriginHeader get_origin(ByteReader& in) {
    OriginHeader origin;
    origin.required_features = in.get<uint64_t>();
    origin.optional_features = in.get<uint64_t>();
    origin.kind = static_cast<Kind>(in.get<uint8_t>());
    origin.stream = get_id<StreamId>(in);
    origin.source = get_short_text(in);
    origin.epoch = {in.get<uint64_t>()};
    origin.sequence = {in.get<uint64_t>()};
    origin.previous_sequence = {in.get<uint64_t>()};
    origin.previous_digest = get_id<Digest>(in);
    origin.first = model::SourcePosition::decode(in);
    origin.last = model::SourcePosition::decode(in);
    origin.transaction_flags = in.get<uint8_t>();
    origin.fragment_xid = in.get<uint64_t>();
    origin.fragment = in.get<uint32_t>();
    origin.counts.inserts = in.get<uint32_t>();
    origin.counts.updates = in.get<uint32_t>();
    origin.counts.deletes = in.get<uint32_t>();
    origin.counts.truncates = in.get<uint32_t>();
    origin.counts.transactions = in.get<uint32_t>();
    origin.event_first = get_time(in);
    origin.event_last = get_time(in);
    origin.captured = get_time(in);
    origin.trace = get_id<TraceId>(in);
    for (auto left = in.get<uint8_t>(); left > 0 && in.ok(); --left) {
        origin.path.push_back(get_short_text(in));
    }
    origin.hop_limit = in.get<uint8_t>();
    origin.generation = in.get<uint32_t>();
    origin.addressee = get_short_text(in);
    if ((origin.optional_features & kFeatureRelease) != 0) {
        origin.release = get_short_text(in);
    }
    return origin;
}

void put_seal(ByteWriter& out, const HopHeader& hop) {
    out.append(hop.route.view());
    out.append(hop.projection.view());
    out.put(static_cast<uint8_t>(hop.suite));
    out.append(hop.key.view());
    out.append(hop.nonce);
    out.put(static_cast<uint8_t>(hop.compression));
    out.put(hop.raw_bytes);
    out.put(hop.sealed_bytes);
}

HopHeader get_seal(ByteReader& in) {
    HopHeader hop;
    hop.route = get_id<decltype(hop.route)>(in);
    hop.projection = get_id<decltype(hop.projection)>(in);
    hop.suite = static_cast<crypto::SuiteId>(in.get<uint8_t>());
    hop.key = get_id<KeyId>(in);
    std::ranges::copy(in.take(crypto::kNonceBytes), hop.nonce.begin());
    hop.compression = static_cast<Compression>(in.get<uint8_t>());
    hop.raw_bytes = in.get<uint32_t>();
    hop.sealed_bytes = in.get<uint32_t>();
    return hop;
}

Error malformed(std::string_view what) { return {ErrorCode::PacketMalformed, std::string(what)}; }

}  // namespace

EncodedHeader encode_header(const OriginHeader& origin, const HopHeader& hop) {
    EncodedHeader encoded;
    ByteWriter out;
    out.put(kMagic);
    out.put(kFormatMajor);
    const bool newest = (origin.optional_features & kFeaturesOfOneOne) != 0;
    out.put(newest ? kFormatMinor : uint8_t{0});
    const auto length_at = out.size();
    out.put(uint16_t{0});
    put_origin(out, origin);
    out.patch(length_at, static_cast<uint16_t>(out.size()));
    encoded.origin_size = out.size();
    put_seal(out, hop);
    encoded.sealed_size = out.size();
    put(out, hop.received);
    put(out, hop.sent);
    out.put(crc32c(out.view()));
    encoded.bytes = std::move(out).take();
    return encoded;
}

Result<PacketView> PacketView::parse(ByteView wire) {
    PacketView packet;
    ByteReader in(wire);
    const auto read_so_far = [&] { return wire.size() - in.rest().size(); };
    const auto magic = in.get<uint32_t>();
    const auto major = in.get<uint8_t>();
    in.get<uint8_t>();  // a newer minor version only adds optional things
    const auto origin_size = in.get<uint16_t>();
    if (!in.ok() || magic != kMagic) {
        return malformed("not a packet");
    }
    if (major != kFormatMajor) {
        return Error(ErrorCode::PacketTooNew, fmt::format("format {}", major));
    }
    if (origin_size < read_so_far() || origin_size > wire.size()) {
        return malformed("header length");
    }
    ByteReader origin_in(wire.subspan(read_so_far(), origin_size - read_so_far()));
    packet.origin = get_origin(origin_in);
    in.take(origin_size - read_so_far());
    packet.hop = get_seal(in);
    const auto sealed_size = read_so_far();
    packet.hop.received = get_time(in);
    packet.hop.sent = get_time(in);
    const auto checked = read_so_far();
    const auto crc = in.get<uint32_t>();
    if (!in.ok()) {
        return malformed("cut within its header");
    }
    if (crc != crc32c(wire.first(checked))) {
        return Error(ErrorCode::PacketDamaged, "header checksum");
    }
    // First: what it stands for may have changed what comes behind.
    if (const auto bits = packet.origin.required_features; bits != 0) {
        return Error(ErrorCode::PacketTooNew, fmt::format("required features {:#x}", bits));
    }
    if (!origin_in.ok() || packet.origin.kind == Kind{}) {
        return malformed("origin header");
    }
    if (!known(packet.origin.kind)) {
        return Error(
            ErrorCode::PacketTooNew, fmt::format("kind {}", static_cast<int>(packet.origin.kind))
        );
    }
    if (packet.hop.sealed_bytes > kPacketBytesMax || packet.hop.raw_bytes > kPacketBytesMax) {
        return Error(ErrorCode::PacketTooLarge, fmt::format("{} bytes", packet.hop.raw_bytes));
    }
    packet.origin_bytes = wire.first(origin_size);
    packet.associated_bytes = wire.first(sealed_size);
    packet.body = in.take(packet.hop.sealed_bytes);
    std::ranges::copy(in.take(crypto::kTagBytes), packet.tag.begin());
    if (!in.ok() || !in.at_end()) {
        return malformed("body length");
    }
    return packet;
}

Result<Digest> PacketView::digest() const {
    const auto* suite = crypto::find_suite(hop.suite);
    if (suite == nullptr) {
        return Error(
            ErrorCode::PacketTooNew, fmt::format("cipher suite {}", static_cast<int>(hop.suite))
        );
    }
    return suite->digest({origin_bytes, tag});
}

}  // namespace qiao::packet
