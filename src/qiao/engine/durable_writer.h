#pragma once

#include "qiao/common/async/event.h"
#include "qiao/common/async/stop.h"
#include "qiao/common/async/task.h"
#include "qiao/engine/chain.h"
#include "qiao/trail/trail.h"

#include <functional>
#include <optional>

namespace qiao::engine {

/// Appends the packets of one stream to a trail and makes them durable beside that: while a group
/// is being synced the next one gathers, so the disk's latency costs no throughput.
/// Context: one executor; run() is a task of the owner's scope.
class DurableWriter {
public:
    /// `on_durable` is called with the newest tip of which everything is on disk.
    using OnDurable = std::function<void(const ChainTip&)>;

    DurableWriter(Executor& executor, trail::Trail& trail, StreamId stream, OnDurable on_durable)
        : trail_(trail), stream_(stream), on_durable_(std::move(on_durable)), appended_(executor) {}

    /// Keeps one packet; the trail's back-pressure is waited for, until `stop`: then nothing is
    /// kept. Errors: trail.*, common.cancelled.
    Task<Status> append(ChainTip tip, ByteView wire, StopSignal& stop);

    /// Syncs whenever something was appended, until stop or the first error, which it gives.
    Task<Status> run(StopSignal& stop);

    /// Everything appended is on disk, so that the disk has nothing to do.
    bool idle() const { return !unsynced_ && !syncing_; }

private:
    trail::Trail& trail_;
    StreamId stream_;
    OnDurable on_durable_;
    std::optional<ChainTip> unsynced_;
    bool syncing_ = false;
    Event appended_;
};

}  // namespace qiao::engine
