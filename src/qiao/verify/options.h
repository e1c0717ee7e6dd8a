#pragma once

#include "qiao/common/result.h"
#include "qiao/common/time.h"
#include "qiao/verify/columns.h"

#include <functional>

namespace qiao::verify {

/// What a comparison needs to know of the flow between its two tables. Without one (`qiao verify`
/// of two databases at rest) it stays empty.
struct Flow {
    /// Waits until the target has committed everything of the source up to `position`, which may be
    /// ahead of the last commit: the flow's heartbeat passes it. The target's copy may be newer.
    /// Errors: common.deadline_passed; others end the table's comparison.
    std::function<Task<Status>(model::SourcePosition position, Deadline deadline, StopSignal& stop)>
        wait_applied;
    /// Where its stream is now, when its positions are not those of the source's database. Errors
    /// end the table's comparison.
    std::function<Task<Result<model::SourcePosition>>(StopSignal& stop)> position = {};
};

/// How a comparison goes about it. The defaults suit a table of any size under load.
struct VerifyOptions {
    Level level = Level::Field;
    bool skip_generated = false;       ///< else generated columns must be equal, too
    bool withhold_keys = false;        ///< keys neither cross to the other side nor are reported
    size_t differences_shown = 1000;   ///< of a table; all are counted
    size_t repair_rows_max = 100'000;  ///< of a table, remembered for a repair

    /// A difference is confirmed when looks in a row that saw it have so much weight together.
    double confirmation = 3;
    uint32_t rounds = 6;  ///< looks at a row before it is given up as moving
    Duration first_pause = std::chrono::milliseconds(100);  ///< between looks; doubles
    Duration most_pause = std::chrono::seconds(5);
    Duration wait_limit = std::chrono::seconds(60);  ///< for the target to come to a position

    uint8_t first_bits = kBucketBits;   ///< of the first pass's buckets
    uint32_t list_rows = 200'000;       ///< rows whose digests are compared at once
    uint64_t candidates_max = 200'000;  ///< rows of a table that are looked at again
    size_t look_rows = 500;             ///< looked up by key in one call
    size_t scan_look_rows = 20'000;     ///< looked for by reading the whole table
};

/// A confirmed difference, as a repair needs it.
struct RepairRow {
    RowDigest digest;  ///< of the key; without one, of the row
    Bytes key;         ///< tuple of the key's columns; empty: no key, or withheld
    uint64_t source_copies = 0, target_copies = 0;
};

/// What would make a table equal.
struct RepairList {
    Plan plan;
    std::vector<RepairRow> rows;
    bool complete = true;  ///< false: more differs than is listed here
};

struct TableOutcome {
    TableReport report;
    RepairList repair;
};

}  // namespace qiao::verify
