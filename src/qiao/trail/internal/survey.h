#pragma once

#include "qiao/trail/internal/consumers.h"
#include "qiao/trail/internal/index.h"

#include <memory>
#include <optional>
#include <vector>

namespace qiao::trail::internal {

/// A segment as it lies in the folder.
struct SegmentFacts {
    uint64_t number = 0;
    uint64_t file_bytes = 0;
    WallTime created;
    std::string release;
    bool readable = false;  ///< has a head
    bool sealed = false;
    bool damaged = false;      ///< below the mark
    uint64_t durable_end = 0;  ///< up to here the mark covers it
    uint64_t end = 0;          ///< up to here it is kept: never below durable_end
    uint64_t records = 0;
};

/// All that a folder holds, found by reading every byte and changing nothing.
struct Survey {
    std::optional<Mark> mark;  ///< empty: no file, or unreadable
    bool fresh = false;        ///< nothing there yet
    std::vector<SegmentFacts> segments;
    std::vector<uint64_t> torn;  ///< segments above the mark that must go as a whole
    std::unique_ptr<Index> index;
    Consumers consumers;
    bool consumers_damaged = false;
    std::vector<Damage> damage;
    uint64_t torn_bytes = 0;
    uint64_t unmarked_records = 0;
};

/// Errors: common.storage_missing, common.storage_io, trail.newer_format.
Task<Result<Survey>> survey_folder(Storage& storage, Executor& executor, std::string folder);

}  // namespace qiao::trail::internal
