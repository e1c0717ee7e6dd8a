#pragma once

#include "qiao/agent/config.h"
#include "qiao/agent/databases.h"
#include "qiao/agent/identity.h"
#include "qiao/agent/node_sessions.h"
#include "qiao/agent/source_line.h"
#include "qiao/agent/target_line.h"
#include "qiao/agent/verification.h"
#include "qiao/common/transport.h"
#include "qiao/engine/transfer_log.h"
#include "qiao/link/acceptor.h"
#include "qiao/link/dialer.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace qiao::agent {

/// What an agent stands on. Everything outlives it.
struct Seams {
    Executor& executor;
    Clock& clock;
    Rng& rng;
    Storage& storage;
    Transport& transport;
    link::Authenticator& authenticator;
    Databases& databases;
    /// Told of whom the node is before each opening, for the authenticator.
    std::function<void(const Identity&)> adopt = {};
};

/// One opening of a node's state: trail, transfer log, key stores, links and flows. A trail whose
/// disk has failed is opened again by a new object. Nothing that is only in memory matters, so the
/// process may be killed at any moment. Spec
class Node {
public:
    Node(
        Seams seams,
        const AgentConfig& config,
        const Identity& identity,
        Incarnation incarnation,
        std::string release,
        KeptDifferent& different
    );
    ~Node();

    /// Until stop, or an error of the whole node: common.config for listening, trail.*, storage.*.
    Task<Status> run(StopSignal& stop);

    // For status; empty or null before the parts are there.
    const std::vector<std::unique_ptr<SourceLine>>& sources() const { return sources_; }

    const std::vector<std::unique_ptr<TargetLine>>& targets() const { return targets_; }

    const std::vector<std::unique_ptr<link::Dialer>>& dialers() const { return dialers_; }

    const link::Acceptor* acceptor() const { return acceptor_.get(); }

    const trail::Trail* trail() const { return trail_.get(); }

    const engine::TransferLog* log() const { return log_.get(); }

    Verifications& verifications() { return verifications_; }

    const Verifications& verifications() const { return verifications_; }

    /// False: there is no such flow.
    bool retry(std::string_view flow);

private:
    Task<Status> open();
    Task<Status> open_flows();
    Status open_links();
    Task<Status> work(StopSignal& stop);
    Task<Status> watch(StopSignal& stop);
    link::SessionOptions session_options(std::string expected) const;

    Seams seams_;
    const AgentConfig& config_;
    const Identity& identity_;
    Incarnation incarnation_;
    std::string release_;  ///< of this program
    std::unique_ptr<trail::Trail> trail_;
    std::unique_ptr<engine::TransferLog> log_;
    NodeSessions sessions_;
    std::vector<std::unique_ptr<SourceLine>> sources_;
    std::vector<std::unique_ptr<TargetLine>> targets_;
    Verifications verifications_;
    std::vector<std::unique_ptr<link::Dialer>> dialers_;
    std::unique_ptr<link::Acceptor> acceptor_;
};

}  // namespace qiao::agent
