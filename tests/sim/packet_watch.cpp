#include "packet_watch.h"

#include "qiao/packet/header.h"
#include "qiao/trail/internal/scan.h"

#include <fmt/format.h>

namespace qiao::sim {
namespace {

constexpr std::string_view kFolder = "state/trail/";

}  // namespace

void PacketWatch::look(const std::string& node, const testing::MemoryStorage& disk) {
    for (const auto& path : disk.paths()) {
        if (!path.starts_with(kFolder)) {
            continue;
        }
        const auto number = trail::internal::segment_number(path.substr(kFolder.size()));
        if (const auto bytes = disk.content(path); number && bytes) {
            look_at_segment(node, *number, *bytes);
        }
    }
}

/// As far as it is whole: what a crash tore was never acknowledged.
void PacketWatch::look_at_segment(const std::string& node, uint64_t number, ByteView bytes) {
    const auto scan = trail::internal::scan_bytes(bytes, number, 0);
    if (!scan) {
        return;
    }
    for (const auto& run : scan->runs) {
        for (const auto& entry : run.entries) {
            const auto record = bytes.subspan(entry.offset, entry.bytes);
            if (run.stream) {
                take(node, *run.stream, record.subspan(trail::internal::kRecordHeadBytes));
            }
        }
    }
}

void PacketWatch::take(const std::string& node, StreamId stream, ByteView wire) {
    const auto packet = packet::PacketView::parse(wire);
    if (!packet || !failure_.empty()) {
        return;
    }
    const auto& origin = packet->origin;
    const auto place =
        fmt::format("at {}, epoch {} sequence {}", node, origin.epoch.value, origin.sequence.value);
    if (origin.stream != stream) {
        failure_ = "a packet lies in another stream's place " + place;
    }
    if (packet->hop.key == KeyId{}) {
        return;  // a key, which is not sealed
    }
    const auto [known, first] =
        sealed_.try_emplace({packet->hop.key, packet->hop.nonce}, packet->tag);
    if (!first && known->second != packet->tag) {
        failure_ = "a nonce of one key has sealed two packets, the second " + place;
    }
}

}  // namespace qiao::sim
