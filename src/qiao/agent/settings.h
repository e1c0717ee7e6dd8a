#pragma once

#include "qiao/agent/config.h"
#include "qiao/agent/identity.h"

#include <memory>
#include <string>

namespace qiao::agent {

/// What an agent's file says, and what the files named there hold: read and checked as a whole, and
/// replaced as a whole while the agent runs. Spec: R-32
struct Settings {
    AgentConfig config;
    Identity identity;
};

using SharedSettings = std::shared_ptr<const Settings>;

/// Errors: those of load_config() and load_identity().
Task<Result<SharedSettings>> load_settings(Storage& storage, std::string path);

/// Whether a running agent may take `next` for `now`. Errors: common.config with what only a start
/// of the process changes: node, state folder, status addresses.
Status may_replace(const AgentConfig& now, const AgentConfig& next);

}  // namespace qiao::agent
