#pragma once

#include "qiao/agent/node.h"
#include "qiao/agent/status.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace qiao::agent {

/// `qiao agent`: a node with its links and flows, for as long as the process is to run. A flow that
/// fails does not end it. Spec
class Agent {
public:
    /// `config` and `identity` outlive the agent. `version`: of the program.
    Agent(Seams seams, const AgentConfig& config, const Identity& identity, std::string version);
    ~Agent();

    /// Until stop, or an error that only a changed configuration mends. A disk that fails is tried
    /// again. Once. Errors: common.storage_locked when another agent has the state folder,
    /// common.config when it cannot listen.
    Task<Status> run(StopSignal& stop);

    AgentStatus status() const;

    /// An operator says that what stopped a flow is mended. Errors: agent.no_flow.
    Status retry(std::string_view flow);

    /// Starts a comparison and gives its id. Errors: agent.no_flow (not a source here, or the node
    /// is not open), verify.busy.
    Result<std::string> verify(VerifyRequest request);
    /// Errors: verify.no_run.
    Result<Verification*> verification(std::string_view id);

private:
    Seams seams_;
    const AgentConfig& config_;
    const Identity& identity_;
    std::string version_;
    Incarnation incarnation_;
    MonoTime started_;
    std::unique_ptr<Storage::Lock> lock_;
    std::optional<Error> last_error_;
    std::unique_ptr<Node> node_;
};

}  // namespace qiao::agent
