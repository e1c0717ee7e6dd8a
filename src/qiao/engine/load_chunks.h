#pragma once

#include "qiao/capture/snapshot_source.h"
#include "qiao/packet/bodies.h"

#include <cstdint>
#include <vector>

namespace qiao::engine {

/// The chunks of one part as bodies of packets, numbered. A bulk format may be cut anywhere, inside
/// a large row too, and so may withheld rows: they count in the body that has their end. Source:
/// rules 4
class LoadChunks {
public:
    LoadChunks(
        const capture::LoadPart& part, drivers::LoadFormat format, model::SourcePosition joined_at
    );

    /// Views into `chunk`.
    std::vector<packet::LoadChunkBody> cut(const capture::LoadChunk& chunk);

private:
    packet::LoadChunkBody next_;
};

}  // namespace qiao::engine
