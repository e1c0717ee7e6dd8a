#pragma once

#include "qiao/apply/loader.h"
#include "qiao/engine/flow_target.h"

#include <functional>
#include <memory>

namespace qiao::engine {

/// Makes structures in a target database, in its own language.
class StructureMaker {
public:
    virtual ~StructureMaker() = default;
    virtual Task<Result<drivers::CreateReport>> create(
        drivers::Structure structure, drivers::StructurePhase phase
    ) = 0;
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
        bool loads_begin_again = false;  ///< see apply::LoadPart::begins_again
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
    /// The last part of a table has made it live already.
    Task<Status> finish_load(LoadSession session) override;
    Task<Status> adopt(LoadSession session, std::vector<model::TableSchema> schemas) override;
    Task<Status> start_apply() override;

private:
    Status check_names(const LoadSession& load) const;

    Parts parts_;
};

}  // namespace qiao::engine
