#pragma once

#include "qiao/capture/snapshot_source.h"
#include "qiao/capture/streaming_source.h"
#include "qiao/common/id.h"
#include "qiao/drivers/finding.h"
#include "qiao/drivers/sequence_value.h"
#include "qiao/drivers/structure.h"
#include "qiao/model/mapping.h"

#include <memory>
#include <string>
#include <vector>

namespace qiao::capture {

/// Something of ours that stays in the source between runs, and what it may cost there.
struct Leftover {
    std::string kind;  ///< `replication slot`, `publication`
    std::string name;
    uint64_t bytes_held = 0;
};

/// One data source as the engine sees it, whatever its technique. One object a flow; one call
/// at a time. Spec: R-13
class DataSource {
public:
    virtual ~DataSource() = default;

    /// Whether the database answers, and lets us in. Changes nothing. Errors: drivers.*
    virtual Task<Status> reach() = 0;

    /// The tables that patterns like `*`, `public.*`, `public.person` mean now, and findings about
    /// those that cannot be captured. Errors: drivers.no_table for a name that is not there.
    struct Choice {
        std::vector<model::TableName> tables;
        std::vector<drivers::Finding> findings;
    };

    virtual Task<Result<Choice>> choose(std::vector<std::string> patterns) = 0;

    /// Makes or changes what capture needs in the source for exactly these tables; again without
    /// harm. Errors: drivers.privilege and drivers.setting with what mends it, capture.no_slot.
    virtual Task<Status> prepare(StreamId stream, std::vector<model::TableName> tables) = 0;

    /// After prepare().
    virtual std::unique_ptr<StreamingSource> streaming(StreamId stream) = 0;
    virtual std::unique_ptr<SnapshotSource> snapshot(StreamId stream) = 0;

    virtual Task<Result<drivers::Structure>> structure(std::vector<drivers::TablePair> tables) = 0;

    /// How far sequences, or what else gives these tables' columns their numbers, are now. None
    /// where the source has nothing of the kind.
    virtual Task<Result<drivers::SequenceValues>> sequences(
        std::vector<model::TableName> /*tables*/, model::Mapping /*names*/
    ) {
        co_return drivers::SequenceValues{};
    }

    /// Writes a sign of life into the source's log, so that everything committed before this call
    /// comes out at the other end without waiting for the next heartbeat. Does nothing where the
    /// source may not be written to.
    virtual Task<Status> beat(StreamId /*stream*/) { co_return Status{}; }

    /// Everything committed before this call lies before it: where a run that ends stops.
    virtual Task<Result<model::SourcePosition>> flushed_position() = 0;

    /// What the source has noticed since it was chosen from, for people: each as it stands now.
    virtual std::vector<drivers::Finding> notes() const { return {}; }

    virtual Task<Result<std::vector<Leftover>>> leftovers(StreamId stream) = 0;

    /// Gives up what the source keeps of the stream's log, which cannot be gone on with, and begins
    /// anew, after prepare(). Everything that commits behind the position that it gives will come;
    /// what lies between is not known. Source: rules 1
    virtual Task<Result<model::SourcePosition>> renew(StreamId /*stream*/) {
        co_return Error(ErrorCode::CapturePositionLost, "this kind of source has no log to renew");
    }

    /// Removes every trace of the stream and names what went. No error when there is none.
    virtual Task<Result<std::vector<std::string>>> drop(StreamId stream) = 0;

    /// System, database: for headers and people.
    virtual std::string identity() const = 0;
};

}  // namespace qiao::capture
