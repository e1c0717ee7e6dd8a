#pragma once

#include "qiao/common/async/scope.h"
#include "qiao/link/call.h"
#include "qiao/link/frame.h"
#include "qiao/link/internal/send_queue.h"
#include "qiao/link/session.h"

#include <map>
#include <unordered_map>

namespace qiao::link::internal {

/// The calls of one session, both ways.
class CallTable {
public:
    CallTable(
        Executor& executor,
        Clock& clock,
        SendQueue& queue,
        TaskScope& scope,
        const SessionOptions& options,
        const PeerInfo& peer
    );
    ~CallTable();

    void add_method(std::string name, Method method);
    Task<Result<std::unique_ptr<ReplyStream>>> call(
        std::string method, Bytes argument, Deadline deadline
    );

    /// Errors: link.protocol when the peer breaks a bound.
    Status on(CallFrame frame);
    Status on(ReplyFrame frame);
    Status on(const ReplyWindowFrame& frame);
    Status on(const CancelFrame& frame);

    /// The session ends: so does every call.
    void end_all(const Error& reason);

private:
    friend class link::ReplySink;
    friend class link::ReplyStream;

    /// What a caller reads ahead of one answer.
    static constexpr uint64_t kReplyWindowBytes = uint64_t{1} << 20U;

    Task<Status> wait_for_place(Deadline deadline);
    Task<void> serve(CallFrame call, std::unique_ptr<ReplySink> sink);
    void answer_at_once(uint64_t request, const Error& error);
    void forget(uint64_t request);

    Executor& executor_;
    Clock& clock_;
    SendQueue& queue_;
    TaskScope& scope_;
    const SessionOptions& options_;
    const PeerInfo& peer_;
    std::map<std::string, Method> methods_;
    uint64_t last_request_ = 0;
    std::optional<Error> ended_;
    std::unordered_map<uint64_t, ReplyStream*> outgoing_;
    std::unordered_map<uint64_t, ReplySink*> incoming_;
    std::shared_ptr<Lane> lane_;  ///< of our calls
    Event freed_;
};

}  // namespace qiao::link::internal
