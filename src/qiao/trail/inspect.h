#pragma once

#include "qiao/common/async/task.h"
#include "qiao/common/id.h"
#include "qiao/common/result.h"
#include "qiao/common/storage.h"
#include "qiao/common/time.h"
#include "qiao/trail/record.h"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace qiao::trail {

/// What `qiao trail dump|check DIR` shows. Nothing here holds payload bytes.
struct StreamRun {
    StreamId stream;
    StreamPoint first, last;
    uint64_t records = 0;
    uint64_t payload_bytes = 0;
};

struct SegmentView {
    uint64_t number = 0;
    std::string file;
    uint64_t bytes = 0;
    WallTime created;
    std::string release;  ///< of the program that began it; empty: it did not say
    bool sealed = false;  ///< closed by a seal record: every segment but the newest
    std::vector<StreamRun> streams;
};

struct MarkView {
    uint64_t generation = 0;
    uint64_t segment = 0;
    uint64_t offset = 0;
};

struct StreamView {
    StreamId stream;
    std::optional<StreamPoint> first;  ///< record still held
    StreamPoint last;                  ///< also when removed since
    uint64_t records = 0;
    std::vector<Consumer> consumers;
};

struct Inspection {
    uint16_t format_major = 1;
    std::optional<MarkView> mark;
    std::vector<SegmentView> segments;
    std::vector<StreamView> streams;
    std::vector<Damage> damage;  ///< below the mark: `check` fails when there is any
    uint64_t torn_bytes = 0;     ///< above the mark: cut at the next open; not damage
    uint64_t unmarked_records = 0;
};

/// Reads every byte of a trail folder and changes nothing; takes no lock, so what a running writer
/// adds meanwhile may show as torn. Errors: common.storage_missing, common.storage_io,
/// trail.newer_format.
Task<Result<Inspection>> inspect(Storage& storage, std::string folder);

/// Gives every whole record in the order of the files, also those that a restart of their stream
/// has made void; changes nothing and takes no lock. The payload is good during the call only.
/// Errors: as inspect().
using VisitRecord = std::function<void(StreamId stream, StreamPoint point, ByteView payload)>;
Task<Status> visit_records(Storage& storage, std::string folder, VisitRecord visit);

}  // namespace qiao::trail
