#pragma once

#include "qiao/common/async/event_loop.h"
#include "qiao/common/storage.h"

#include <nlohmann/json.hpp>

#include <string>

namespace qiao::cli {

/// The agent's socket: the one given, or that of a configuration file. Errors: common.config.
Task<Result<std::string>> find_socket(Storage& storage, std::string socket, std::string config);

/// One question, one connection. An error that the agent answers becomes ours.
/// Errors: agent.not_running, the agent's own.
Task<Result<nlohmann::ordered_json>> ask_agent(
    EventLoop& loop, std::string socket, std::string line
);

}  // namespace qiao::cli
