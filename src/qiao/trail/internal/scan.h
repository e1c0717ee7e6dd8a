#pragma once

#include "qiao/common/async/task.h"
#include "qiao/common/storage.h"
#include "qiao/trail/internal/format.h"

#include <optional>
#include <vector>

namespace qiao::trail::internal {

/// Where one record lies in its segment.
struct Entry {
    StreamPoint point;
    uint32_t offset = 0;
    uint32_t bytes = 0;  ///< head and body
};

/// Records of one stream in one segment between two definitions of its reference.
struct ScanRun {
    uint32_t ref = 0;
    std::optional<StreamId> stream;  ///< empty: the definition is damaged
    StreamPoint before;              ///< the point that the run follows
    std::vector<Entry> entries;
};

/// What is in one segment file. `runs` are in order of their definitions.
struct SegmentScan {
    uint64_t number = 0;
    uint64_t file_bytes = 0;
    std::optional<SegmentHead> head;  ///< empty: unreadable
    bool sealed = false;
    std::vector<ScanRun> runs;
    std::vector<Damage> damage;     ///< below durable_end only
    uint64_t end = 0;               ///< behind the last whole record
    uint64_t records = 0;           ///< whole ones of every kind
    uint64_t unmarked_records = 0;  ///< caller's records above durable_end

    bool torn() const { return end < file_bytes; }
};

/// Reads a segment from its beginning. Below `durable_end` wrong bytes are damage, and reading goes
/// on behind them; from there on the first wrong byte ends the scan: a torn tail. Pass the file's
/// own size (or more) for a segment that must be whole.
/// Errors: common.storage_io, trail.newer_format.
Task<Result<SegmentScan>> scan_segment(File& file, uint64_t number, uint64_t durable_end);

/// The same over bytes in memory: what the fuzzer drives.
Result<SegmentScan> scan_bytes(ByteView bytes, uint64_t number, uint64_t durable_end);

}  // namespace qiao::trail::internal
