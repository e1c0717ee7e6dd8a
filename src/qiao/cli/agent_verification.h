#pragma once

#include "qiao/cli/command.h"
#include "qiao/common/async/event_loop.h"

#include <nlohmann/json.hpp>

#include <functional>
#include <string>

namespace qiao::cli {

/// A flow of the source's agent, and where that answers: `--flow`, `--socket`, `--config`.
struct AgentFlow {
    std::string flow, socket, config;

    /// Gives the option of the flow, which the others need.
    CLI::Option* add_to(CLI::App& command, const Console& console);
};

/// Has an agent compare, shows how it stands, cancels it on a signal, and gives the last answer
/// (see agent::to_json of a Verification). `request`: as agent::VerifyRequest reads it. `look` sees
/// every answer before the last one. Errors: agent.not_running, the agent's own.
Task<Result<nlohmann::ordered_json>> watch_verification(
    EventLoop& loop,
    const Console& console,
    std::string socket,
    nlohmann::ordered_json request,
    std::function<void(const nlohmann::ordered_json& answer)> look = {}
);

}  // namespace qiao::cli
