#pragma once

#include "qiao/capture/streaming_source.h"
#include "qiao/common/async/backoff.h"
#include "qiao/common/async/event.h"
#include "qiao/common/async/scope.h"
#include "qiao/common/clock.h"
#include "qiao/common/rng.h"
#include "qiao/engine/durable_writer.h"
#include "qiao/engine/flow_log.h"
#include "qiao/engine/key_store.h"
#include "qiao/engine/packer.h"
#include "qiao/engine/repair_feed.h"
#include "qiao/trail/trail.h"

#include <optional>
#include <string>

namespace qiao::engine {

/// Which acknowledgement frees the source's log. Source: rules 8
enum class Custody : uint8_t {
    Hop,  ///< durable at the next hop
    End,  ///< committed at the consumer
};

/// How a line stands, for status.
struct CaptureStatus {
    enum class State : uint8_t {
        Starting,
        Moving,
        Idle,
        Retrying,
        Stopped
    } state = State::Starting;
    uint32_t tries = 0;
    std::optional<Error> last_error;
    ChainTip captured, durable;
    StreamPoint alive;            ///< the newest that shows_life()
    packet::ChangeCounts counts;  ///< since the start, wraps
    uint64_t bytes = 0;           ///< of packets
    WallTime last_event;          ///< commit time of the newest change or heartbeat
    model::SourcePosition freed;  ///< confirmed to the source
};

/// The trail's consumer that stands for whoever takes custody of a captured stream.
constexpr const char* kCustodyConsumer = "custody";

/// Source to trail: pumps the source into the packer and the packets into the trail, and tells the
/// source what is safe. A packet is closed when no transaction is open in it and the disk has
/// nothing else to do, or when it is full: a single transaction goes at once, and while the disk is
/// busy those that come gather. Spec
class CaptureLine {
public:
    struct Parts {
        Executor& executor;
        Clock& clock;
        Rng& rng;
        trail::Trail& trail;
        KeyStore& keys;
        capture::StreamingSource& source;
        FlowLog log = {};
    };

    CaptureLine(Parts parts, StreamId stream, Packer packer);

    /// Until stop, or an error that waiting does not mend.
    Task<Status> run(StopSignal& stop);

    /// Transactions that are open and have sent something ahead.
    size_t open_ahead() const { return packer_.travelling(); }

    /// A consumer or hop has everything up to `point`. Frees the source up to that packet's
    /// position; never goes back. Source: rules 8
    Task<Status> release(StreamPoint point);

    /// Asks for a standstill: from the next thing that the source delivers on, a heartbeat at the
    /// latest, nothing more is delivered until resume(). One hold at a time, and a short one, as
    /// the source waits meanwhile.
    void hold();
    /// Waits for the standstill. Errors: common.deadline_passed, common.cancelled; then nothing is
    /// held.
    Task<Status> held(Deadline deadline, StopSignal& stop);
    void resume();

    bool holding() const { return hold_wanted_; }

    /// Between held() and resume(): takes a repair that was read meanwhile to its place.
    void repair(verify::RepairPlan plan) { feed_.add(std::move(plan)); }

    /// See RepairFeed::prove().
    void prove(model::TableName table, model::SourcePosition position) {
        feed_.prove(std::move(table), std::move(position));
    }

    /// See RepairFeed::unplaced().
    uint64_t repairs_unplaced() const { return feed_.unplaced(); }

    /// Repairs and proofs that wait for their place.
    bool repairing() const { return feed_.waiting(); }

    const CaptureStatus& status() const { return status_; }

private:
    Task<void> stand_still(StopSignal& stop);
    Task<Status> hold_back_retention();
    Task<Status> pump_until_error(StopSignal& stop);
    Task<Status> pump_with_retries();
    Task<void> write(std::optional<Error>& failure);
    Task<Status> write_all();
    Task<Status> append_closed();
    Task<void> keep_durable(std::optional<Error>& failure);
    bool may_write() const;
    bool ahead_holds_too_much();
    void free_idle();
    void became_durable(const ChainTip& tip);

    Parts parts_;
    StreamId stream_;
    Packer packer_;
    RepairFeed feed_;
    DurableWriter writer_;
    CaptureStatus status_;
    StreamPoint released_;
    /// Bytes written when something last began to travel ahead, while anything does.
    std::optional<uint64_t> ahead_since_;
    UnsettledPackets unsettled_;
    bool pumping_ = true;
    bool appending_ = false;  ///< taken from the packer, not yet all in the trail
    Event moved_;             ///< there may be something to write
    Event room_;              ///< the packer was emptied
    StopSignal written_;      ///< nothing is written any more: the last sync may end
    bool hold_wanted_ = false;
    bool standing_ = false;
    Event hold_changed_;
    TaskScope scope_;
};

}  // namespace qiao::engine
