#pragma once

#include "qiao/agent/config.h"
#include "qiao/agent/database.h"

#include <map>
#include <memory>
#include <optional>
#include <string>

namespace qiao::agent {

/// Opens the databases of flows: the real ones, or doubles in tests.
class Databases {
public:
    virtual ~Databases() = default;
    /// `stop` ends all connections of what is made, and outlives it. Errors: common.config.
    virtual Result<std::unique_ptr<capture::DataSource>> source(
        const FlowConfig& flow, StopSignal& stop
    ) = 0;
    virtual Result<Target> target(const FlowConfig& flow, StopSignal& stop) = 0;
    /// Of the flow's database, for comparing. Errors: common.config, the database's.
    virtual Task<Result<std::unique_ptr<drivers::TableReader>>> reader(
        const FlowConfig& flow, StopSignal& stop
    ) = 0;

    /// What a source flow takes of its database now.
    virtual std::optional<drivers::SourceUsage> usage(const std::string& /*flow*/) const {
        return std::nullopt;
    }
};

/// All kinds of databases that this program can speak to.
class RealDatabases final : public Databases {
public:
    /// `state`: the agent's folder.
    RealDatabases(drivers::postgres::Runtime runtime, Rng& rng, Storage& storage, std::string state)
        : runtime_(runtime), rng_(rng), storage_(storage), state_(std::move(state)) {}

    Result<std::unique_ptr<capture::DataSource>> source(const FlowConfig& flow, StopSignal& stop)
        override {
        SourceChoice choice;
        choice.heartbeat = flow.heartbeat != Duration::zero();
        if (choice.heartbeat) {
            choice.heartbeat_every = flow.heartbeat;
        }
        choice.timed = flow.timed;
        choice.value_bytes_max = flow.value_bytes_max;
        choice.selection = flow.selection;
        choice.own_origins = {flow.peer};
        choice.storage = &storage_;
        choice.folder = state_;
        return make_source(at_source(flow), flow.database, choice, rng_, stop);
    }

    Result<Target> target(const FlowConfig& flow, StopSignal& stop) override {
        return make_target(runtime_, flow.database, stop, flow.peer);
    }

    Task<Result<std::unique_ptr<drivers::TableReader>>> reader(
        const FlowConfig& flow, StopSignal& stop
    ) override {
        SourceChoice choice;
        choice.timed = flow.timed;
        choice.selection = flow.selection;
        const bool source = flow.role == FlowRole::Source;
        return make_reader(
            source ? at_source(flow) : runtime_, flow.database, std::move(choice), stop
        );
    }

    std::optional<drivers::SourceUsage> usage(const std::string& flow) const override {
        const auto caps = caps_.find(flow);
        return caps == caps_.end() ? std::nullopt : std::optional(caps->second.usage());
    }

private:
    drivers::postgres::Runtime at_source(const FlowConfig& flow) {
        auto runtime = runtime_;
        runtime.caps =
            &caps_.try_emplace(flow.name, runtime.executor, runtime.clock, flow.source_limits)
                 .first->second;
        return runtime;
    }

    drivers::postgres::Runtime runtime_;
    std::map<std::string, drivers::SourceCaps> caps_;  ///< of source flows
    Rng& rng_;
    Storage& storage_;
    std::string state_;
};

}  // namespace qiao::agent
