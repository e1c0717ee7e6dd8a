#pragma once

#include "qiao/agent/node.h"
#include "qiao/agent/settings.h"
#include "qiao/agent/status.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace qiao::agent {

/// `qiao agent`: a node with its links and flows, for as long as the process is to run. A flow that
/// fails does not end it. Spec
class Agent {
public:
    /// Reads the settings again.
    using Load = std::function<Task<Result<SharedSettings>>()>;

    /// `version`: of the program. Without `load` the settings cannot be changed.
    Agent(Seams seams, SharedSettings settings, std::string version, Load load = {});
    ~Agent();

    /// Until stop, or an error that only a changed configuration mends. A disk that fails is tried
    /// again. Once. Errors: common.storage_locked when another agent has the state folder,
    /// common.config when it cannot listen.
    Task<Status> run(StopSignal& stop);

    /// Reads the settings again and goes on with them: links and flows begin anew, rows are neither
    /// lost nor doubled by that. What is refused changes nothing and stays in the status; so do
    /// settings with which the node could not listen. New keys and certificates come in this way.
    /// Errors: those of load_settings() and may_replace(). Spec: R-32
    Task<Status> reload();

    AgentStatus status() const;

    /// An operator says that what stopped a flow is mended. Errors: agent.no_flow.
    Status retry(std::string_view flow);

    /// Starts a comparison and gives its id. Errors: agent.no_flow (not a source here, or the node
    /// is not open), verify.busy.
    Result<std::string> verify(VerifyRequest request);
    /// Errors: verify.no_run.
    Result<Verification*> verification(std::string_view id);

private:
    Task<Status> run_node(StopSignal& life);
    void take(SharedSettings settings);

    Seams seams_;
    SharedSettings settings_;
    SharedSettings next_;    ///< to be taken when the node has ended
    SharedSettings before_;  ///< while the node runs with newer ones for the first time
    std::string version_;
    Load load_;
    WallTime settings_since_;
    std::optional<Error> reload_refused_;
    StopSignal* life_ = nullptr;  ///< of the node's present opening
    Incarnation incarnation_;
    KeptDifferent different_;  ///< over all openings of the node
    MonoTime started_;
    std::unique_ptr<Storage::Lock> lock_;
    std::optional<Error> last_error_;
    std::unique_ptr<Node> node_;
};

}  // namespace qiao::agent
