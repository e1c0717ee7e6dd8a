#pragma once

#include "qiao/agent/config.h"
#include "qiao/cli/check_report.h"
#include "qiao/common/async/event_loop.h"
#include "qiao/common/storage.h"

namespace qiao::cli {

/// The way to another agent, step by step: name and TCP, TLS with both certificates, Hello, round
/// trip, rate both ways. It shows this node's certificate, so the other agent takes it for this
/// node: a link of a running agent is replaced for the moment, and comes back by itself.
/// Spec
Task<void> check_link(
    EventLoop& loop,
    Storage& storage,
    const agent::AgentConfig& config,
    Endpoint to,
    CheckReport& report
);

}  // namespace qiao::cli
