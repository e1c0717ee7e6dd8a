#pragma once

#include "qiao/agent/databases.h"
#include "qiao/agent/flow_retry.h"
#include "qiao/agent/movement.h"
#include "qiao/agent/session_target.h"
#include "qiao/engine/send_line.h"
#include "qiao/engine/source_flow.h"

#include <memory>
#include <string>
#include <utility>

namespace qiao::agent {

/// One source flow of an agent over all its lives: started again after errors, and sending in every
/// session with its peer. Spec
class SourceLine {
public:
    struct Parts {
        Executor& executor;
        Clock& clock;
        Rng& rng;
        trail::Trail& trail;
        Databases& databases;
        std::string node;  ///< this one
        std::shared_ptr<const crypto::PublicKey> receiver;
    };

    SourceLine(Parts parts, const FlowConfig& config, StreamId stream, engine::KeyStore keys);

    /// Until stop.
    Task<void> run(StopSignal& stop);

    /// Takes the right to serve a session. False: another session has it.
    bool claim() { return !std::exchange(serving_, true); }

    /// After claim(): as long as the session lasts; returns when nothing of it is used any more.
    Task<void> serve(link::Session& session);

    FlowRetry& retry() { return retry_; }

    /// About once a second.
    void sample();

    // For status.
    const FlowConfig& config() const { return config_; }

    StreamId stream() const { return stream_; }

    const FlowRetry& retry() const { return retry_; }

    const Movement& movement() const { return movement_; }

    const engine::SendStatus& sending() const { return send_.status(); }

    uint32_t send_tries() const { return send_tries_; }

    double rows_per_second() const { return rows_per_second_; }

    /// Null between two lives.
    const engine::SourceFlow* flow() const { return flow_; }

private:
    Task<Status> run_once(StopSignal& stop);
    Task<void> pass_custody(engine::SourceFlow& flow, Status& ended, TaskScope& scope);
    Task<Status> acknowledged(link::LevelPoint reached);
    bool may_pass(StreamPoint point) const;
    engine::SourceFlowOptions options() const;
    engine::RemoteTarget::Parts remote() const;

    Parts parts_;
    const FlowConfig& config_;
    StreamId stream_;
    engine::KeyStore keys_;
    SessionTarget target_;
    engine::SendLine send_;
    FlowRetry retry_;
    Movement movement_;
    engine::SourceFlow* flow_ = nullptr;
    StreamPoint held_, applied_;
    Event woken_;
    bool serving_ = false;
    uint32_t send_tries_ = 0;
    uint64_t rows_ = 0;  ///< captured until the last sample
    MonoTime sampled_;
    double rows_per_second_ = 0;
};

}  // namespace qiao::agent
