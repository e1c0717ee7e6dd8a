#pragma once

#include "qiao/agent/rate_plan.h"
#include "qiao/common/async/event.h"
#include "qiao/engine/target_service.h"
#include "qiao/link/session.h"

#include <map>
#include <string>
#include <vector>

namespace qiao::agent {

class Databases;
class SourceLine;
class TargetLine;

/// What an agent does with each session, whoever dialled it: receives the flows that end here, and
/// sends those that begin here to the peer they name. With two sessions to one peer the first keeps
/// the sending flows. Spec
class NodeSessions final : public link::SessionUser {
public:
    /// @param rates  outlive it
    NodeSessions(
        Executor& executor, Clock& clock, Databases& databases, const std::vector<RateRule>& rates
    )
        : executor_(executor),
          clock_(clock),
          databases_(databases),
          rates_(rates),
          changed_(executor) {}

    Task<void> use(link::Session& session) override;

    /// Flows that end here, by name; entries come and go with their lives.
    std::map<std::string, engine::TargetFlow*>& flows() { return flows_; }

    void add(SourceLine& line) { lines_.push_back(&line); }

    /// Lets the flow's peer compare what it brought here.
    void add(TargetLine& line) { targets_.push_back(&line); }

    /// The rates of this hour, to every session. Spec: R-77
    void set_rates();

    /// Ends the sessions with `peer` that there are now; returns when nobody uses them any more.
    Task<void> dismiss(std::string peer, Error reason);

    struct Open {
        link::Session* session = nullptr;
        MonoTime since;
    };

    /// By a number that grows.
    const std::map<uint64_t, Open>& sessions() const { return open_; }

private:
    Executor& executor_;
    Clock& clock_;
    Databases& databases_;
    const std::vector<RateRule>& rates_;
    std::map<std::string, engine::TargetFlow*> flows_;
    std::vector<SourceLine*> lines_;
    std::vector<TargetLine*> targets_;
    std::map<uint64_t, Open> open_;
    uint64_t next_ = 1;
    Event changed_;
};

/// Answered by every agent, for `qiao check --link`: u32 bytes wanted, then bytes that only take
/// their time on the way. The answer has so many bytes, at most kEchoBytesMax.
constexpr const char* kEchoMethod = "check.echo";
constexpr uint32_t kEchoBytesMax = 16U << 20U;

}  // namespace qiao::agent
