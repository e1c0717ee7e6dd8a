#include "qiao/engine/load_chunks.h"

namespace qiao::engine {
namespace {

constexpr size_t kMostBytes = size_t{4} << 20U;

}  // namespace

LoadChunks::LoadChunks(
    const capture::LoadPart& part, drivers::LoadFormat format, model::SourcePosition joined_at
) {
    next_.schema = part.schema.id();
    next_.part = part.number;
    next_.parts = part.parts;
    next_.format = static_cast<uint8_t>(format);
    next_.joined_at = std::move(joined_at);
}

std::vector<packet::LoadChunkBody> LoadChunks::cut(const capture::LoadChunk& chunk) {
    const bool cuttable = next_.format != static_cast<uint8_t>(drivers::LoadFormat::Tuples);
    std::vector<packet::LoadChunkBody> bodies;
    ByteView rows = chunk.rows;
    while (cuttable && rows.size() > kMostBytes) {
        next_.rows = rows.first(kMostBytes);
        bodies.push_back(next_);
        ++next_.chunk;
        rows = rows.subspan(kMostBytes);
    }
    bodies.push_back(next_);
    bodies.back().rows = rows;
    bodies.back().row_count = chunk.row_count;
    bodies.back().last = chunk.last;
    ++next_.chunk;
    return bodies;
}

}  // namespace qiao::engine
