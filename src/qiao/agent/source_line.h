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
        engine::FlowLog log = {};
        const std::vector<RateRule>* rates = nullptr;  ///< of this node; null: none
        std::string release = {};                      ///< of this program
    };

    SourceLine(Parts parts, const FlowConfig& config, StreamId stream, engine::KeyStore keys);

    /// Until stop.
    Task<void> run(StopSignal& stop);

    /// Takes the right to serve a session. False: another session has it.
    bool claim() { return !std::exchange(serving_, true); }

    /// After claim(): as long as the session lasts; returns when nothing of it is used any more.
    Task<void> serve(link::Session& session);

    FlowRetry& retry() { return retry_; }

    /// Bytes a second that this flow may send now; 0: no limit of its own.
    uint64_t rate_limit() const { return pacer_.rate(); }

    /// What the flow takes of its database, beside what it may.
    std::optional<drivers::SourceUsage> source_usage() const {
        return parts_.databases.usage(config_.name);
    }

    /// About once a second.
    void sample();

    // For comparisons. Those that wait for the flow end when its life does.

    /// The flow's other end, asked over the link.
    SessionTarget& remote_target() { return target_; }

    /// Waits until the target has applied everything up to `position`.
    /// Errors: engine.not_following, common.deadline_passed, common.cancelled.
    Task<Status> wait_applied(model::SourcePosition position, Deadline deadline, StopSignal& stop);

    /// Of a stream by timestamp, whose positions are not the database's: where it is now.
    /// Errors: engine.not_following, those of the source.
    Task<Result<model::SourcePosition>> position(StopSignal& stop);

    struct Settled {
        model::SourcePosition at;  ///< everything committed before is applied
        uint64_t changes = 0;      ///< captured in this life
        size_t open = 0;           ///< transactions under way, of the large ones
        uint64_t life = 0;         ///< counts are of one life
        drivers::CreateReport sequences;
        std::vector<drivers::LeftOut> left_out;
    };

    /// Waits until the target has everything that is committed now, and brings its sequences as far
    /// as the source's. Errors: as wait_applied(), those of both databases.
    Task<Result<Settled>> settle(Deadline deadline, StopSignal& stop);

    /// Lets the flow begin a new epoch if it cannot go on; a flow that goes on is left alone.
    void reopen();
    /// See engine::SourceFlow::prove().
    Task<Status> prove(model::TableName table, model::SourcePosition position, StopSignal& stop);
    /// See engine::SourceFlow::repair().
    Task<Result<engine::SourceFlow::Repaired>> repair(
        drivers::TableReader& reader, verify::RepairList list, StopSignal& stop
    );

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

    bool following() const {
        return flow_ != nullptr &&
               flow_->status().phase == engine::SourceFlowStatus::Phase::Following;
    }

private:
    Task<Status> run_once(StopSignal& stop);
    Task<void> pass_custody(engine::SourceFlow& flow, Status& ended, TaskScope& scope);
    Task<Status> acknowledged(link::LevelPoint reached);
    void begin_again(const Error& why);
    bool may_pass(StreamPoint point) const;
    engine::SourceFlowOptions options() const;
    engine::RemoteTarget::Parts remote();

    Parts parts_;
    const FlowConfig& config_;
    StreamId stream_;
    engine::KeyStore keys_;
    engine::Pacer pacer_;
    SessionTarget target_;
    engine::SendLine send_;
    bool reopen_ = false;
    std::optional<Error> went_back_;  ///< ended the present life; see begin_again()
    FlowRetry retry_;
    Movement movement_;

    /// One life of the flow; whoever waits for something of it is waited for at its end.
    struct Life {
        capture::DataSource& source;
        StopSignal& stop;
        size_t guests = 0;
    };

    class Guest;

    engine::SourceFlow* flow_ = nullptr;
    Life* life_ = nullptr;
    StreamPoint held_, applied_;
    Event woken_;
    bool serving_ = false;
    uint32_t send_tries_ = 0;
    uint64_t rows_ = 0;  ///< captured until the last sample
    MonoTime sampled_;
    uint64_t lives_ = 0;
    double rows_per_second_ = 0;
};

}  // namespace qiao::agent
