#pragma once

#include "qiao/engine/target_flow.h"
#include "qiao/link/session.h"

#include <map>
#include <memory>
#include <string>

namespace qiao::engine {

/// Answers the sessions of peers for the flows that end here: their offers and their calls. A peer
/// reaches only flows that name it. Spec: R-21
class TargetService final : public link::StreamHandler {
public:
    /// `peer`: the authenticated name of the session's other end. `flows` outlives the session.
    TargetService(std::string peer, const std::map<std::string, TargetFlow*>& flows)
        : peer_(std::move(peer)), flows_(flows) {}

    void attach(link::Session& session);

    Task<void> serve(link::IncomingStream& stream) override;

private:
    Result<TargetFlow*> find(std::string_view flow, const StreamId* stream) const;
    Task<Result<Bytes>> answer(std::string method, Bytes argument);
    Task<Status> reply(std::string method, Bytes argument, link::ReplySink& sink);
    Status gather_piece(const std::string& flow, ByteView rest);
    Task<Result<Bytes>> create(const std::string& flow, FlowTarget& target, ByteView rest);
    static Task<Status> adopt(FlowTarget& target, ByteView rest);

    std::string peer_;
    const std::map<std::string, TargetFlow*>& flows_;
    std::map<std::string, Bytes> pieces_;  ///< of a structure on its way, by flow
};

}  // namespace qiao::engine
