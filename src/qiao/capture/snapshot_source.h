#pragma once

#include "qiao/common/async/stop.h"
#include "qiao/common/async/task.h"
#include "qiao/common/result.h"
#include "qiao/drivers/target_session.h"
#include "qiao/model/change.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace qiao::capture {

/// A piece of a load that one reader reads: a table, or a range of its pages. Parts of a session
/// may be read at the same time, because all see the same snapshot. Source: rules 13
struct LoadPart {
    model::TableSchema schema;
    uint32_t number = 0;  ///< within its table
    uint32_t parts = 1;   ///< of the table
    uint64_t rows_estimated = 0;
    uint64_t bytes_estimated = 0;
    std::string range;  ///< the source's own words for what to read
};

/// Rows of one part in the bulk format agreed on, cut at a row boundary; or a piece of them, which
/// counts no row: they count with the piece that has their end.
struct LoadChunk {
    Bytes rows;
    uint64_t row_count = 0;  ///< those that are withheld too
    bool last = false;       ///< of its part
    /// Rows with a value over the limit, as tuples one after another: not in `rows`, to be laid
    /// aside at the target. Source: rules 4
    Bytes withheld{};
};

/// One load session: one snapshot, joined to the stream at one position. Dies with its connection;
/// then a new session starts the unfinished tables again. Source: rules 13. Spec
class SnapshotSession {
public:
    virtual ~SnapshotSession() = default;

    /// Transactions whose commit lies before are in the snapshot, all others are not.
    virtual const model::SourcePosition& joined_at() const = 0;
    virtual const std::vector<LoadPart>& parts() const = 0;
    /// The bulk format of a part's table: binary where its types allow, else text.
    virtual drivers::LoadFormat format(const LoadPart& part) const = 0;

    class Reader {
    public:
        virtual ~Reader() = default;
        /// About `chunk_bytes` of rows. `last` with zero rows is possible.
        virtual Task<Result<LoadChunk>> next(StopSignal& stop) = 0;
    };

    /// Each part is read over a connection that no other part uses at that time.
    virtual Task<Result<std::unique_ptr<Reader>>> read(LoadPart part, size_t chunk_bytes) = 0;
};

/// The first of capture's two interfaces.
class SnapshotSource {
public:
    virtual ~SnapshotSource() = default;
    /// Errors: drivers.* ; capture.no_slot when the source has no slot left for the snapshot.
    virtual Task<Result<std::unique_ptr<SnapshotSession>>> open(
        std::vector<model::TableName> tables, StopSignal& stop
    ) = 0;
};

}  // namespace qiao::capture
