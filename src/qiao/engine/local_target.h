#pragma once

#include "qiao/apply/loader.h"
#include "qiao/engine/flow_target.h"

#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace qiao::engine {

/// Makes structures in a target database, in its own language.
class StructureMaker {
public:
    virtual ~StructureMaker() = default;
    virtual Task<Result<drivers::CreateReport>> create(
        drivers::Structure structure, drivers::StructurePhase phase
    ) = 0;
    /// Never back. Errors: as create(), after the load.
    virtual Task<Result<drivers::CreateReport>> advance_sequences(
        std::vector<drivers::SequenceValue> values
    ) = 0;
};

/// Sessions whose part of a load has ended: a database has many small tables, and to connect costs
/// more than to write one.
class IdleSessions {
public:
    /// Null: there is none.
    std::unique_ptr<drivers::TargetSession> take() {
        if (sessions_.empty()) {
            return nullptr;
        }
        auto session = std::move(sessions_.back());
        sessions_.pop_back();
        return session;
    }

    void give(std::unique_ptr<drivers::TargetSession> session) {
        if (session) {
            sessions_.push_back(std::move(session));
        }
    }

    void clear() { sessions_.clear(); }

private:
    std::vector<std::unique_ptr<drivers::TargetSession>> sessions_;
};

/// The target of a flow in this process. Loads run on sessions of their own beside the applier's.
class LocalTarget final : public FlowTarget {
public:
    struct Parts {
        drivers::TargetDatabase& database;
        StructureMaker& structures;
        apply::Applier& applier;  ///< opened
        StopSignal& stop;         ///< ends the waits of loads
        StreamId stream;
        std::function<ChainTip()> tip;  ///< what this side holds of the stream
        std::function<void()> start_apply;
        /// Whether the source may make what its tables need: its statements run with all rights
        /// that this side has in the database.
        bool may_create = false;
        bool loads_begin_again = false;  ///< see apply::LoadPart::begins_again
    };

    explicit LocalTarget(Parts parts) : parts_(std::move(parts)) {}

    Task<Result<TargetState>> state() override;
    Task<Result<drivers::CreateReport>> create(
        drivers::Structure structure, drivers::StructurePhase phase
    ) override;
    Task<Result<drivers::CreateReport>> advance_sequences(std::vector<drivers::SequenceValue> values
    ) override;
    Task<Status> announce_loads(std::vector<model::TableName> tables) override;
    Task<Status> begin_load(LoadSession session) override;
    Task<Result<std::unique_ptr<Part>>> open_part(
        capture::LoadPart part, drivers::LoadFormat format, LoadSession session
    ) override;
    /// The last part of a table has made it live already.
    Task<Status> finish_load(LoadSession session) override;
    Task<Status> adopt(LoadSession session, std::vector<model::TableSchema> schemas) override;
    Task<Result<std::vector<model::TableName>>> resyncs_asked() override;
    Task<Status> start_apply() override;

private:
    Status check_names(const LoadSession& load) const;

    Parts parts_;
    std::shared_ptr<IdleSessions> idle_ = std::make_shared<IdleSessions>();
};

}  // namespace qiao::engine
