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
    const auto cut_off = [&](ByteView& bytes, ByteView packet::LoadChunkBody::* part) {
        while (bytes.size() > kMostBytes) {
            bodies.push_back(next_);
            bodies.back().*part = bytes.first(kMostBytes);
            ++next_.chunk;
            bytes = bytes.subspan(kMostBytes);
        }
    };
    ByteView withheld = chunk.withheld;
    cut_off(withheld, &packet::LoadChunkBody::withheld);
    ByteView rows = chunk.rows;
    if (cuttable) {
        cut_off(rows, &packet::LoadChunkBody::rows);
    }
    bodies.push_back(next_);
    bodies.back().withheld = withheld;
    bodies.back().rows = rows;
    bodies.back().row_count = chunk.row_count;
    bodies.back().last = chunk.last;
    ++next_.chunk;
    return bodies;
}

}  // namespace qiao::engine
