#pragma once

#include "qiao/common/async/scope.h"
#include "qiao/engine/durable_writer.h"
#include "qiao/engine/flow_log.h"
#include "qiao/engine/key_store.h"
#include "qiao/link/session.h"
#include "qiao/trail/trail.h"

#include <optional>
#include <string>

namespace qiao::engine {

/// How a receiving line stands, for status.
struct InboxStatus {
    bool connected = false;
    ChainTip received, held;
    StreamPoint alive;  ///< the newest that shows_life()
    uint64_t packets = 0, bytes = 0, duplicates = 0;
    std::optional<Error> last_error;
};

/// Link to trail, for one stream: every packet is admitted (right stream, whole, in its turn of the
/// chain), kept, made durable, and only then acknowledged as held. Lives over many sessions.
/// Spec. Source: rules 2, 8
class InboxLine {
public:
    /// `tip`: what is held already, from the trail or from the target's checkpoint.
    InboxLine(
        Executor& executor,
        trail::Trail& trail,
        KeyStore& keys,
        StreamId stream,
        ChainTip tip,
        std::string consumer,
        FlowLog log = {}
    );

    /// Before run(): what the trail has behind the tip is asked for again, and stays until the
    /// first of it has come.
    void ask_again();

    bool asks_again() const { return asks_again_; }

    /// Passes when the first of what is asked for again has come.
    Event& came_again() { return came_again_; }

    /// Runs the disk's side, until stop or the first error.
    Task<Status> run(StopSignal& stop);

    /// Serves one offer of the stream in one session; one at a time.
    Task<void> serve(link::IncomingStream& incoming);

    /// The applier has committed up to here: told to the sender, now or when it comes back.
    void applied(const ChainTip& tip);

    /// Set whenever a key has come in, for an applier that waits for one.
    Event& keys_changed() { return keys_changed_; }

    const ChainTip& tip() const { return tip_; }

    const InboxStatus& status() const { return status_; }

private:
    Task<Status> receive_all(link::IncomingStream& incoming);
    Task<Status> take(ByteView wire, StopSignal& stop);
    void became_durable(const ChainTip& durable);
    link::LevelPoint applied_point() const;

    trail::Trail& trail_;
    KeyStore& keys_;
    StreamId stream_;
    std::string consumer_;
    ChainTip tip_;
    ChainTip applied_;
    FlowLog log_;
    UnsettledPackets unsettled_;
    DurableWriter writer_;
    link::IncomingStream* incoming_ = nullptr;
    Event keys_changed_;
    Event came_again_;
    bool asks_again_ = false;
    InboxStatus status_;
};

}  // namespace qiao::engine
