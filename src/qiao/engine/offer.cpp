#include "qiao/engine/offer.h"

#include "qiao/link/statement.h"

namespace qiao::engine {
namespace {

constexpr uint8_t kVersion = 1;

}  // namespace

Bytes OfferMetadata::encode() const {
    ByteWriter out;
    out.put(kVersion);
    out.put(static_cast<uint8_t>(role));
    out.put_sized(flow);
    for (const auto& wire : key_packets) {
        if (out.size() + wire.size() + sizeof(uint32_t) > link::kMetadataBytesMax) {
            break;
        }
        out.put_sized(wire);
    }
    return std::move(out).take();
}

Result<OfferMetadata> OfferMetadata::decode(ByteView bytes) {
    ByteReader in(bytes);
    OfferMetadata metadata;
    const auto version = in.get<uint8_t>();
    const auto role = in.get<uint8_t>();
    metadata.role = static_cast<Role>(role);
    metadata.flow = in.get_text();
    while (in.ok() && !in.at_end()) {
        metadata.key_packets.push_back(to_bytes(in.get_sized()));
    }
    const bool known =
        role == static_cast<uint8_t>(Role::Log) || role == static_cast<uint8_t>(Role::Load);
    if (!in.ok() || version != kVersion || !known) {
        return Error(ErrorCode::LinkProtocol, "offer metadata");
    }
    return metadata;
}

}  // namespace qiao::engine
