#include "qiao/common/assert.h"
#include "qiao/trail/internal/scan.h"

/// Any bytes as a segment and as the two small files. The first byte chooses where the durable mark
/// stands. What a scan says must hold together: entries inside the file, in order of their places,
/// each parsed again as what it was.
namespace {

using namespace qiao;
using namespace qiao::trail::internal;

constexpr uint64_t kSegment = 1;

void check(const SegmentScan& scan, ByteView bytes, uint64_t durable_end) {
    QIAO_ASSERT(scan.file_bytes == bytes.size());
    QIAO_ASSERT(scan.end <= bytes.size());
    for (const auto& run : scan.runs) {
        uint64_t behind = 0;
        for (const auto& entry : run.entries) {
            QIAO_ASSERT(entry.offset >= behind);
            behind = uint64_t{entry.offset} + entry.bytes;
            QIAO_ASSERT(behind <= scan.end);
            const auto again = parse_record(
                bytes.subspan(entry.offset, entry.bytes), kSegment, entry.offset, entry.bytes
            );
            QIAO_ASSERT(again.outcome == ParsedRecord::Outcome::Whole);
            QIAO_ASSERT(again.head.point == entry.point);
        }
    }
    for (const auto& damage : scan.damage) {
        QIAO_ASSERT(damage.offset <= durable_end);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) {
        return 0;
    }
    const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
    const uint64_t durable_end = bytes.size() * data[0] / 255;
    if (const auto scan = scan_bytes(bytes, kSegment, durable_end)) {
        check(*scan, bytes, durable_end);
    }
    (void)decode_mark_file(bytes);
    if (const auto table = decode_consumers(bytes)) {
        const auto again = decode_consumers(encode(*table));
        QIAO_ASSERT(again && *again == *table);
    }
    return 0;
}
