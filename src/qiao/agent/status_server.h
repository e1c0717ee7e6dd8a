#pragma once

#include "qiao/agent/agent.h"
#include "qiao/common/async/scope.h"
#include "qiao/common/transport.h"

#include <memory>

namespace qiao::agent {

/// Answers what operators and their tools ask of an agent, one connection a question. On the Unix
/// socket a line: `status`, `text en`, `text zh`, `reload`, `retry FLOW`, `verify {…}` (see
/// VerifyRequest), and `verification ID` or `cancel ID` for what that started; the answer is one
/// JSON object. On the other one HTTP: `GET /metrics` for Prometheus. Both are bounded in time,
/// size and number.
class StatusServer {
public:
    StatusServer(Executor& executor, Clock& clock, Agent& agent)
        : executor_(executor), clock_(clock), agent_(agent), scope_(executor) {}

    /// Serve until stop; the listeners outlive the call.
    Task<void> serve_socket(Listener& listener, StopSignal& stop);
    Task<void> serve_http(Listener& listener, StopSignal& stop);

private:
    using Answer = Task<void> (StatusServer::*)(Connection& connection);

    Task<void> accept(Listener& listener, Answer answer, StopSignal& stop);
    Task<void> talk(std::unique_ptr<Connection> connection, Answer answer);
    Task<void> answer_line(Connection& connection);
    Task<void> answer_http(Connection& connection);
    Task<std::string> reply_to(std::string_view line);
    std::string start_verification(std::string_view json);

    Executor& executor_;
    Clock& clock_;
    Agent& agent_;
    size_t talking_ = 0;
    TaskScope scope_;
};

/// Asks an agent a line and gives its answer. Errors: agent.not_running.
Task<Result<std::string>> ask_agent(Connection& connection, std::string line);

}  // namespace qiao::agent
