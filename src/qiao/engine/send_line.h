#pragma once

#include "qiao/common/async/scope.h"
#include "qiao/common/async/task.h"
#include "qiao/engine/flow_log.h"
#include "qiao/engine/key_store.h"
#include "qiao/engine/pacer.h"
#include "qiao/link/session.h"
#include "qiao/trail/cursor.h"
#include "qiao/trail/trail.h"

#include <functional>
#include <string>

namespace qiao::engine {

/// How a sending line stands, for status.
struct SendStatus {
    bool connected = false;
    StreamPoint sent, held, applied;
    uint64_t packets = 0, bytes = 0;
    /// Times that the receiver held less than it had acknowledged: it was put back, or its disk
    /// does not keep what it says. It gets that again. Source: rules 8
    uint64_t went_back = 0;
    std::optional<Error> last_error;
};

/// Trail to link, for one stream to one peer: goes on from what the receiver says it holds, after
/// proving that both mean the same packets. Spec. Source: rules 2, 8
class SendLine {
public:
    using OnAcknowledged = std::function<Task<Status>(const link::LevelPoint&)>;

    SendLine(
        Executor& executor,
        trail::Trail& trail,
        const KeyStore& keys,
        StreamId stream,
        std::string flow,
        OnAcknowledged on_acknowledged,
        FlowLog log = {},
        Pacer* pacer = nullptr
    );

    /// Serves one session until it ends, and says why. Again with the next session.
    Task<Error> run(link::Session& session);

    const SendStatus& status() const { return status_; }

private:
    Task<Status> send_all(link::OutgoingStream& outgoing, StopSignal& stop);
    Task<Result<StreamPoint>> agree_on_start(const link::StreamState& state);
    Task<void> follow_acknowledgements(
        link::OutgoingStream& outgoing, Status& ended, StopSignal& over
    );
    Task<Status> took(const link::LevelPoint& reached);

    Executor& executor_;
    trail::Trail& trail_;
    const KeyStore& keys_;
    StreamId stream_;
    std::string flow_;
    OnAcknowledged on_acknowledged_;
    FlowLog log_;
    Pacer* pacer_;  ///< null: no rate of its own
    SendStatus status_;
};

}  // namespace qiao::engine
