#pragma once

#include "qiao/common/async/scope.h"
#include "qiao/engine/flow_target.h"

#include <functional>
#include <map>
#include <memory>

namespace qiao::engine {

/// Makes structures in a target database, in its own language.
class StructureMaker {
public:
    virtual ~StructureMaker() = default;
    virtual Task<Result<drivers::CreateReport>> create(
        const drivers::Structure& structure, drivers::StructurePhase phase
    ) = 0;
};

/// The target of a flow in this process. Loads run on sessions of their own beside the applier's.
class LocalTarget final : public FlowTarget {
public:
    struct Parts {
        drivers::TargetDatabase& database;
        StructureMaker& structures;
        StreamId stream;
        /// From names at the source to names at the target; others keep theirs.
        std::map<model::TableName, model::TableName> renamed;
        /// What the inbox holds, if there is one; else the checkpoint's tip is the tip.
        std::function<ChainTip()> inbox_tip;
        std::function<Task<Status>()> start_apply;
    };

    explicit LocalTarget(Parts parts) : parts_(std::move(parts)) {}

    Task<Result<TargetState>> state() override;
    Task<Result<drivers::CreateReport>> create(
        drivers::Structure structure, drivers::StructurePhase phase
    ) override;
    Task<Status> begin_load(LoadSession session) override;
    Task<Result<std::unique_ptr<Part>>> open_part(
        capture::LoadPart part, drivers::LoadFormat format, LoadSession session
    ) override;
    Task<Status> finish_load(LoadSession session) override;

    Task<Status> start_apply() override { return parts_.start_apply(); }

private:
    model::TableName at_target(const model::TableName& name) const;
    Task<Status> begin_table(
        drivers::TargetSession& session,
        const model::TableName& table,
        const LoadSession& load,
        const std::vector<drivers::TableState>& states
    );

    Parts parts_;
};

}  // namespace qiao::engine
