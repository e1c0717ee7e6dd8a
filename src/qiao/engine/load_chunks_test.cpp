#include "qiao/engine/load_chunks.h"

#include "qiao/packet/header.h"

#include <gtest/gtest.h>

#include <random>

namespace qiao::engine {
namespace {

// Source: rules 4
TEST(LoadChunks, RowsOfAnySizeAreCutToPacketsAndAreTheSameTogether) {
    std::mt19937 random(3);
    capture::LoadPart part;
    part.schema.table = {"public", "t"};
    LoadChunks chunks(part, drivers::LoadFormat::PgCopyBinary, {});
    uint32_t number = 0;
    uint64_t rows = 0;
    for (const size_t size : {0U, 100U, 4U << 20U, (4U << 20U) + 1U, 70'000'000U}) {
        capture::LoadChunk chunk;
        chunk.rows.resize(size);
        for (size_t i = 0; i < size; i += 997) {
            chunk.rows[i] = static_cast<std::byte>(random());
        }
        chunk.row_count = 1 + random() % 9;
        chunk.last = size == 70'000'000U;
        Bytes together;
        const auto bodies = chunks.cut(chunk);
        for (const auto& body : bodies) {
            EXPECT_EQ(body.chunk, number++);
            EXPECT_LT(body.encode().size(), packet::kPacketBytesMax / 2);
            EXPECT_EQ(body.last, chunk.last && &body == &bodies.back());
            rows += body.row_count;
            together.insert(together.end(), body.rows.begin(), body.rows.end());
        }
        EXPECT_EQ(bodies.back().row_count, chunk.row_count);
        EXPECT_TRUE(together == chunk.rows);
    }
    EXPECT_GT(rows, 0U);
}

TEST(LoadChunks, WithheldRowsAreCutToPacketsTooAndCountOnceWithTheRest) {
    LoadChunks chunks({}, drivers::LoadFormat::PgCopyBinary, {});
    capture::LoadChunk chunk{
        Bytes(9'000'000, std::byte{1}), 7, true, Bytes(5'000'000, std::byte{2})
    };
    Bytes rows, withheld;
    uint64_t count = 0;
    for (const auto& body : chunks.cut(chunk)) {
        const auto bytes = body.encode();
        EXPECT_LT(bytes.size(), packet::kPacketBytesMax);
        const auto there = packet::LoadChunkBody::decode(bytes);
        ASSERT_TRUE(there);
        rows.insert(rows.end(), there->rows.begin(), there->rows.end());
        withheld.insert(withheld.end(), there->withheld.begin(), there->withheld.end());
        EXPECT_EQ(count, 0U) << "the last one counts";
        count += there->row_count;
    }
    EXPECT_EQ(rows, chunk.rows);
    EXPECT_EQ(withheld, chunk.withheld);
    EXPECT_EQ(count, 7U);
}

TEST(LoadChunks, RowsThatStandForThemselvesAreNotCut) {
    LoadChunks chunks({}, drivers::LoadFormat::Tuples, {});
    capture::LoadChunk chunk;
    chunk.rows.resize(5'000'000);
    EXPECT_EQ(chunks.cut(chunk).size(), 1U);
}

}  // namespace
}  // namespace qiao::engine
