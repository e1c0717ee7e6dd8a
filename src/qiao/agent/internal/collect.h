#pragma once

#include "qiao/agent/node.h"
#include "qiao/agent/status.h"

namespace qiao::agent::internal {

/// Fills in everything of `status` that belongs to the node.
void collect(const Node& node, const AgentConfig& config, MonoTime now, AgentStatus& status);

/// Of this process; 0 where the system does not tell.
uint64_t resident_bytes();

}  // namespace qiao::agent::internal
