#pragma once

#include "qiao/agent/databases.h"
#include "qiao/agent/flow_retry.h"
#include "qiao/agent/movement.h"
#include "qiao/agent/node_sessions.h"
#include "qiao/engine/target_flow.h"

#include <memory>
#include <string>

namespace qiao::agent {

/// One target flow of an agent over all its lives. While it waits to start again, its place in the
/// table of flows is taken by one that is not open yet, so that the peer is told to come later.
/// Spec
class TargetLine {
public:
    struct Parts {
        Executor& executor;
        Clock& clock;
        Rng& rng;
        trail::Trail& trail;
        Databases& databases;
        std::string node;  ///< this one
        Incarnation incarnation;
        packet::ReceiverKeys wrapping;
        NodeSessions& sessions;
        engine::FlowLog log = {};
    };

    TargetLine(Parts parts, const FlowConfig& config, StreamId stream, engine::KeyStore keys);
    ~TargetLine();

    /// Until stop. Ends the sessions that use the flow before it goes.
    Task<void> run(StopSignal& stop);

    FlowRetry& retry() { return retry_; }

    /// About once a second.
    void sample();

    // For status.
    const FlowConfig& config() const { return config_; }

    StreamId stream() const { return stream_; }

    const FlowRetry& retry() const { return retry_; }

    const Movement& movement() const { return movement_; }

    /// Age of the newest change or heartbeat that was applied. None: none was yet.
    std::optional<Duration> lag(WallTime now) const;

    /// Null before the first life; not opened while it starts or waits.
    const engine::TargetFlow* flow() const;

    /// The tables that the flow brought, by their names here. While flow() is open.
    Task<Result<std::vector<model::TableName>>> carried_tables();

    /// Why the target cannot be connected to, while the flow starts.
    const std::optional<Error>& connect_error() const { return connect_error_; }

private:
    struct Life;
    class WatchedDatabase;

    Result<std::unique_ptr<Life>> make_life();
    Task<Status> live(Life& life, StopSignal& stop);

    Parts parts_;
    const FlowConfig& config_;
    StreamId stream_;
    engine::KeyStore keys_;
    FlowRetry retry_;
    Movement movement_;
    std::unique_ptr<Life> life_;
    std::optional<Error> connect_error_;
    std::optional<StreamPoint> damaged_behind_;  ///< by the last life
    WallTime newest_event_;                      ///< applied, by the source's clock
};

}  // namespace qiao::agent
