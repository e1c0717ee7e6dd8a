#pragma once

#include "qiao/agent/databases.h"
#include "qiao/common/clock.h"
#include "qiao/link/session.h"
#include "qiao/verify/side_service.h"

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

namespace qiao::engine {
class TargetFlow;
}

namespace qiao::agent {

class TargetLine;

/// Answers one session's peer when it compares flows that end here, by reading this node's own
/// database. Tables that the flow does not carry are refused. Spec: R-35. Source: rules 27
class VerifyService {
public:
    struct Parts {
        Executor& executor;
        Clock& clock;
        Databases& databases;
        const std::vector<TargetLine*>& lines;
    };

    /// `peer`: the authenticated name of the session's other end.
    VerifyService(Parts parts, std::string peer);
    ~VerifyService();

    /// Registers the comparison's methods. The session's run() ends before this does.
    void attach(link::Session& session);

private:
    struct Open;

    /// Of one flow. One question at a time.
    struct Desk {
        std::unique_ptr<Open> open;
        bool busy = false;
    };

    Task<Status> reply(std::string method, Bytes argument, link::ReplySink& sink, StopSignal& stop);
    Task<Result<Bytes>> answer(
        std::string flow, Desk& desk, std::string method, Bytes request, StopSignal& stop
    );
    Result<TargetLine*> find(std::string_view flow) const;
    Task<Status> open(const std::string& flow, Desk& desk, StopSignal& stop);
    Task<Status> learn_tables(const std::string& flow, Open& open);

    Parts parts_;
    std::string peer_;
    std::map<std::string, Desk> desks_;
};

}  // namespace qiao::agent
