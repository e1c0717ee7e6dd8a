#pragma once

#include "qiao/capture/data_source.h"
#include "qiao/common/async/backoff.h"
#include "qiao/engine/capture_line.h"
#include "qiao/engine/first_load.h"
#include "qiao/engine/flow_target.h"
#include "qiao/engine/key_store.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace qiao::engine {

struct SourceFlowOptions {
    std::string name;       ///< the flow's name in both configurations
    std::string node;       ///< this node's name, for the path in headers
    std::string release{};  ///< of this program, for headers; empty: not said
    StreamId stream;
    std::vector<std::string> tables;  ///< patterns
    std::map<model::TableName, model::TableName> renamed;
    bool create = false;
    /// The first load comes by a folder: nothing begins here before the target's tables are live.
    bool carried = false;
    /// No first load: the target has the rows already, to be compared.
    bool existing = false;
    /// Where the source cannot go on, or the target went further back than what is kept, the stream
    /// begins anew once, in a new epoch with a gap: its tables are unproven then. Source: rules 1
    bool reopen = false;
    Custody custody = Custody::End;
    const crypto::Suite* suite = nullptr;
    packet::Compression compression = packet::Compression::None;
    size_t packet_bytes = packet::kPacketBytesDefault;
    /// Who may open this flow's data keys.
    std::vector<std::shared_ptr<const crypto::PublicKey>> receivers;
    FirstLoadOptions load;
};

/// What a flow is doing, in the words of its status.
struct SourceFlowStatus {
    enum class Phase : uint8_t {
        Connecting,
        AwaitingLoad,   ///< a carried one has not been imported at the target yet
        AwaitingEpoch,  ///< loads wait until the target has applied what lies before this epoch
        Creating,
        Loading,
        Indexing,
        Following,
        Retrying,
        Failed,
        Stopped,
    } phase = Phase::Connecting;
    std::vector<model::TableName> tables;
    std::vector<drivers::Finding> findings;
    std::optional<drivers::CreateReport> created;
    std::vector<drivers::LeftOut> left_out;
    uint32_t tries = 0;
    std::optional<Error> last_error;
    LoadStatus load;
};

/// The source's side of one flow from its first start on: agrees with the target on where the
/// stream goes on, makes what the source needs, creates and loads what the target lacks, follows
/// the log, and loads anew what somebody asks for meanwhile. Every step may be repeated after a
/// crash of either side. Spec. Source: rules 1, 2, 13
class SourceFlow {
public:
    struct Parts {
        Executor& executor;
        Clock& clock;
        Rng& rng;
        trail::Trail& trail;
        KeyStore& keys;
        capture::DataSource& source;
        FlowTarget& target;
        FlowLog log = {};
    };

    SourceFlow(Parts parts, SourceFlowOptions options);
    ~SourceFlow();

    /// Until stop, or an error that waiting does not mend. Transient errors are retried.
    Task<Status> run(StopSignal& stop);

    /// An acknowledgement has come: frees the source by the flow's custody.
    Task<Status> acknowledged(Custody level, StreamPoint point);

    /// The target says that it has applied everything up to `point`.
    void applied(StreamPoint point) { applied_ = std::max(applied_, point); }

    /// Set when every table is loaded and the log is followed.
    Event& following() { return following_; }

    const SourceFlowStatus& status() const;

    /// Null before capture has begun.
    const CaptureLine* capture() const { return capture_ ? &capture_->line : nullptr; }

    /// What repair() has sent.
    struct Repaired {
        uint64_t changes = 0;
        uint64_t left_out = 0;           ///< rows that cannot be mended from the source
        model::SourcePosition position;  ///< applied up to here, the target has the repair
    };

    /// Reads the rows of `list` anew, with the capture held for that moment, and sends them as
    /// ordinary changes at their place in the stream. `reader` reads the flow's own source. Whether
    /// the tables are then equal only another comparison tells. Errors: engine.not_following,
    /// verify.no_repair for a source without a log, verify.repair_too_large, the database's.
    /// Spec: R-35. Source: rules 27
    Task<Result<Repaired>> repair(
        drivers::TableReader& reader, verify::RepairList list, StopSignal& stop
    );

    /// A comparison has found the table equal as of `position`: if it is unproven at the target, it
    /// becomes live there, in the order of the stream. False: it was not. Errors:
    /// engine.not_following, the target's. Source: rules 1, 23
    Task<Result<bool>> prove(
        model::TableName table, model::SourcePosition position, StopSignal& stop
    );

private:
    Task<Status> wait_placed(CaptureLine& line, StopSignal& stop);

    /// A capture's source and line; kept by whoever waits for something of them.
    struct Capture {
        Capture(
            std::unique_ptr<capture::StreamingSource> opened,
            Parts& parts,
            StreamId stream,
            Packer packer
        );
        std::unique_ptr<capture::StreamingSource> source;
        CaptureLine line;
    };

    Task<Status> run_once(StopSignal& stop);
    Task<Result<TargetState>> target_state(StopSignal& stop);
    Task<Status> can_read_behind(StreamPoint point);
    Task<Status> start_capture(const TargetState& target);
    Task<Result<bool>> source_still_has(model::SourcePosition from);
    Task<Result<std::optional<model::SourcePosition>>> renew_if_lost(model::SourcePosition from);
    Task<Status> see_one_history(const ChainTip& target);
    Task<Result<ChainTip>> own_tip(const TargetState& target);
    Task<Status> create(drivers::StructurePhase phase);
    Status leave_out_missing();
    Task<Status> adopt(capture::SnapshotSession& snapshot, uint32_t generation);

    /// Tables that the target lacks: never loaded so far, and to be loaded anew.
    struct Missing {
        std::vector<model::TableName> fresh, again;
        std::vector<model::TableName> all() const;
    };

    Missing missing(const TargetState& target) const;
    /// Tables that are at the target already may be taken as they are.
    enum class How : uint8_t { Read, Adopt };
    Task<Status> load(
        std::vector<model::TableName> tables, uint32_t generation, How how, StopSignal& stop
    );
    Task<Status> reach_epoch(StopSignal& stop);
    Task<Status> load_missing(TargetState target, StopSignal& stop);
    Task<Status> load_what_is_asked(StopSignal& stop);
    Task<void> run_capture(Status& ended, TaskScope& scope);

    Parts parts_;
    SourceFlowOptions options_;
    std::shared_ptr<Capture> capture_;
    Epoch epoch_;          ///< of what is captured
    StreamPoint applied_;  ///< as the target has said since this life's begin
    std::optional<drivers::Structure> structure_;
    FirstLoad first_load_;
    mutable SourceFlowStatus status_;
    Event following_;
};

}  // namespace qiao::engine
