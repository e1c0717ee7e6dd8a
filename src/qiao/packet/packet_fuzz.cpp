#include "qiao/packet/bodies.h"
#include "qiao/packet/compression.h"
#include "qiao/packet/header.h"
#include "qiao/packet/rows.h"

/// Foreign bytes as a packet, as each kind of body, and as compressed data.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace qiao;
    const auto bytes = std::as_bytes(std::span(data, size));
    if (const auto view = packet::PacketView::parse(bytes)) {
        (void)view->digest();
    }
    packet::RowsReader reader(bytes);
    for (auto record = reader.next(); record && *record; record = reader.next()) {
    }
    (void)packet::RowsReader::decode_alone(bytes);
    (void)packet::SchemaBody::decode(bytes);
    (void)packet::AbortBody::decode(bytes);
    (void)packet::HeartbeatBody::decode(bytes);
    (void)packet::EpochBody::decode(bytes);
    (void)packet::LoadChunkBody::decode(bytes);
    (void)packet::decompress(bytes, packet::Compression::Zstd, 4096);
    (void)packet::decompress(bytes, packet::Compression::Lz4, 4096);
    return 0;
}
