#pragma once

#include "qiao/capture/streaming_source.h"
#include "qiao/common/async/backoff.h"
#include "qiao/common/async/scope.h"
#include "qiao/common/clock.h"
#include "qiao/common/rng.h"
#include "qiao/engine/durable_writer.h"
#include "qiao/engine/key_store.h"
#include "qiao/engine/packer.h"
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
    packet::ChangeCounts counts;  ///< since the start, wraps
    uint64_t bytes = 0;           ///< of packets
    WallTime last_event;          ///< commit time of the newest change or heartbeat
    model::SourcePosition freed;  ///< confirmed to the source
};

/// The trail's consumer that stands for whoever takes custody of a captured stream.
constexpr const char* kCustodyConsumer = "custody";

/// Source to trail: pumps the source into the packer and the packets into the trail, and tells the
/// source what is safe. Spec
class CaptureLine {
public:
    struct Parts {
        Executor& executor;
        Clock& clock;
        Rng& rng;
        trail::Trail& trail;
        KeyStore& keys;
        capture::StreamingSource& source;
    };

    CaptureLine(Parts parts, StreamId stream, Packer packer);

    /// Until stop, or an error that waiting does not mend.
    Task<Status> run(StopSignal& stop);

    /// A consumer or hop has everything up to `point`. Frees the source up to that packet's
    /// position; never goes back. Source: rules 8
    Task<Status> release(StreamPoint point);

    const CaptureStatus& status() const { return status_; }

private:
    Task<Status> hold_back_retention();
    Task<Status> write_out();
    Task<Status> pump_until_error(StopSignal& stop);
    Task<void> keep_durable(std::optional<Error>& failure);
    void free_idle();
    void became_durable(const ChainTip& tip);

    Parts parts_;
    StreamId stream_;
    Packer packer_;
    DurableWriter writer_;
    CaptureStatus status_;
    StreamPoint released_;
    TaskScope scope_;
};

}  // namespace qiao::engine
