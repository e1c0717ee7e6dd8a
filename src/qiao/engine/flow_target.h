#pragma once

#include "qiao/capture/snapshot_source.h"
#include "qiao/drivers/sequence_value.h"
#include "qiao/drivers/structure.h"
#include "qiao/drivers/target_session.h"
#include "qiao/engine/chain.h"
#include "qiao/model/mapping.h"

#include <memory>
#include <vector>

namespace qiao::engine {

/// What the target of a flow knows of it.
struct TargetState {
    ChainTip tip;         ///< what it holds of the stream; (0, 0): nothing
    StreamPoint applied;  ///< up to here it is in the database
    std::vector<drivers::TableState> tables;
    std::vector<drivers::LoadFormat> accepts;

    Bytes encode() const;
    static Result<TargetState> decode(ByteView bytes);
};

/// A load session as the target is told of it.
struct LoadSession {
    uint32_t generation = 0;
    model::SourcePosition joined_at;
    std::vector<model::TableName> tables;  ///< under their names at the source
    /// Their names at the target, as the source's configuration has it: must be what the target's
    /// says. Spec: R-25
    model::Mapping names = {};

    Bytes encode() const;
    static Result<LoadSession> decode(ByteView bytes);
};

/// Names of tables as they cross the link. Errors: link.protocol.
Bytes encode_tables(const std::vector<model::TableName>& tables);
Result<std::vector<model::TableName>> decode_tables(ByteView bytes);

/// Likewise values of sequences. Errors: link.protocol.
Bytes encode_sequences(const std::vector<drivers::SequenceValue>& values);
Result<std::vector<drivers::SequenceValue>> decode_sequences(ByteView bytes);

/// The far end of a flow as its source side sees it: in this process for `qiao sync`, across a link
/// for agents. All calls may be repeated after a failure. Spec. Source: rules 13
class FlowTarget {
public:
    virtual ~FlowTarget() = default;

    /// Errors: those of the link or the database; transient ones are tried again by the caller.
    virtual Task<Result<TargetState>> state() = 0;

    /// Errors: engine.create_refused where the target's side has not allowed it.
    virtual Task<Result<drivers::CreateReport>> create(
        drivers::Structure structure, drivers::StructurePhase phase
    ) = 0;

    /// Brings sequences of tables that the flow carries as far as the source's. What the target's
    /// database refuses stands in the report. Errors: drivers.no_table for a table of others,
    /// engine.not_following for what only takes a load.
    virtual Task<Result<drivers::CreateReport>> advance_sequences(
        std::vector<drivers::SequenceValue> /*values*/
    ) {
        co_return Error(ErrorCode::EngineNotFollowing, "sequences");
    }

    /// Loads of these tables are about to begin: said before their changes are captured and their
    /// snapshot is taken. From then on their changes wait, so that none between
    /// the snapshot and the load's beginning is lost or applied too early.
    virtual Task<Status> announce_loads(std::vector<model::TableName> tables) = 0;

    /// Empties the tables of what an older generation brought and marks them as loading.
    /// Errors: engine.target_not_empty for a table with rows that no load of ours brought;
    /// common.config when both ends rename tables differently.
    virtual Task<Status> begin_load(LoadSession session) = 0;

    /// One part on its way, in one transaction of the target.
    class Part {
    public:
        virtual ~Part() = default;
        virtual Task<Status> write(capture::LoadChunk chunk) = 0;
        /// Committed on success. Without it nothing of the part stays.
        virtual Task<Status> finish() = 0;
    };

    /// Of the session only what places it: its tables may be left out.
    virtual Task<Result<std::unique_ptr<Part>>> open_part(
        capture::LoadPart part, drivers::LoadFormat format, LoadSession session
    ) = 0;

    /// All parts of the session's tables are in: they go live at its position.
    virtual Task<Status> finish_load(LoadSession session) = 0;

    /// The session's tables hold their rows already, whoever brought them: no load. They are
    /// followed from its position on, and unproven until they are compared. Errors: as
    /// begin_load(), without the first.
    virtual Task<Status> adopt(
        LoadSession /*session*/, std::vector<model::TableSchema> /*schemas*/
    ) {
        co_return Error(ErrorCode::Config, "this target is loaded");
    }

    /// Tables that somebody wants to have loaded anew while their flow runs.
    virtual Task<Result<std::vector<model::TableName>>> resyncs_asked() {
        co_return std::vector<model::TableName>{};
    }

    /// The stream may be applied from now on; what was announced and has not come is off.
    virtual Task<Status> start_apply() = 0;
};

}  // namespace qiao::engine
