#pragma once

#include "qiao/capture/snapshot_source.h"
#include "qiao/common/async/channel.h"
#include "qiao/common/async/scope.h"
#include "qiao/engine/flow_target.h"

#include <deque>
#include <map>
#include <optional>
#include <vector>

namespace qiao::engine {

/// How a load stands, for status and progress bars.
struct LoadStatus {
    bool running = false;
    uint32_t generation = 0;
    size_t tables = 0, parts = 0, parts_done = 0;
    uint64_t rows_estimated = 0, bytes_estimated = 0;
    uint64_t rows = 0, bytes = 0;
    std::optional<Error> last_error;
};

struct FirstLoadOptions {
    size_t readers = 2;    ///< parts read and written at the same time
    model::Mapping names;  ///< of the tables at the target, as the source's side has it
    size_t chunk_bytes = size_t{1} << 20U;
    size_t queue_bytes = size_t{4} << 20U;  ///< between a part's reader and its writer
};

/// One load session: snapshot to target, parts side by side, each part's reading and writing
/// overlapped. An error ends the session; the caller starts a new one with a higher generation.
/// Spec. Source: rules 13
class FirstLoad {
public:
    FirstLoad(Executor& executor, FlowTarget& target, FirstLoadOptions options)
        : executor_(executor), target_(target), options_(std::move(options)) {}

    /// Loads all parts of `snapshot`. On success the tables are live at the target.
    Task<Status> run(capture::SnapshotSession& snapshot, uint32_t generation, StopSignal& stop);

    const LoadStatus& status() const { return status_; }

private:
    using Queue = Channel<capture::LoadChunk>;

    Task<void> work(
        capture::SnapshotSession& snapshot, const LoadSession& session, TaskScope& scope
    );
    Task<Status> load_part(
        capture::SnapshotSession& snapshot,
        const LoadSession& session,
        capture::LoadPart part,
        StopSignal& stop
    );
    Task<void> read_into(
        capture::SnapshotSession::Reader& reader, Queue& queue, Status& ended, StopSignal& stop
    );

    Executor& executor_;
    FlowTarget& target_;
    FirstLoadOptions options_;
    LoadStatus status_;
    std::deque<capture::LoadPart> waiting_;
    std::optional<Error> failure_;
};

}  // namespace qiao::engine
