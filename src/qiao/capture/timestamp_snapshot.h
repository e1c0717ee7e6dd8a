#pragma once

#include "qiao/capture/snapshot_source.h"
#include "qiao/capture/timestamp_source.h"

namespace qiao::capture {

/// First loads of a table or view by time: all its rows as they are at one moment, in bulk. A new
/// stream begins with what may change after open(). Polls may bring rows of the load again, which
/// does no harm, so it joins the stream at its beginning. Before, the declaration is proven on the
/// data: a load of rows whose changes could not be followed is refused. Spec: H-29, H-30, R-34,
///
class TimestampSnapshotSource final : public SnapshotSource {
public:
    /// Everything outlives the source and its sessions.
    TimestampSnapshotSource(
        TimestampOptions options,
        drivers::RowDatabase& database,
        std::shared_ptr<TimestampProgress> progress
    )
        : options_(std::move(options)), database_(database), progress_(std::move(progress)) {}

    /// Errors: capture.table for rows that break the declaration; drivers.*
    Task<Result<std::unique_ptr<SnapshotSession>>> open(
        std::vector<model::TableName> tables, StopSignal& stop
    ) override;

private:
    TimestampOptions options_;
    drivers::RowDatabase& database_;
    std::shared_ptr<TimestampProgress> progress_;
};

}  // namespace qiao::capture
