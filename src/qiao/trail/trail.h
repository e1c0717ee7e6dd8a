#pragma once

#include "qiao/common/async/executor.h"
#include "qiao/common/async/stop.h"
#include "qiao/common/async/task.h"
#include "qiao/common/clock.h"
#include "qiao/common/id.h"
#include "qiao/common/result.h"
#include "qiao/common/storage.h"
#include "qiao/trail/record.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qiao::trail {

class Cursor;

/// What append() does when the disk budget is used up and nothing may be removed.
enum class OverBudget : uint8_t {
    Wait,    ///< append() waits for a release: back-pressure (rules 10)
    Refuse,  ///< append() answers trail.over_budget
};

struct TrailOptions {
    std::string folder;  ///< made when missing
    uint64_t segment_bytes =
        64U << 20U;  ///< 64 KiB … 1 GiB; at most a quarter of the budget is used
    uint64_t disk_budget_bytes = 8ULL << 30U;  ///< sum of all segments; 0: no budget
    Duration grace = std::chrono::hours(24);   ///< how long released records stay (rules 8)
    OverBudget over_budget = OverBudget::Wait;
    uint64_t tail_cache_bytes = 8U << 20U;  ///< newest records kept in memory for readers
    std::string release;                    ///< of this program, for the heads of its segments
};

/// What open() found and did.
struct Recovery {
    std::vector<Damage> damage;     ///< below the durable mark; empty in all but sad cases
    uint64_t cut_bytes = 0;         ///< torn tail above the mark, removed
    uint64_t unmarked_records = 0;  ///< whole records above the mark, kept and made durable
};

enum class Condition : uint8_t { Open, PushingBack, Failed, Closed };

struct TrailStatus {
    Condition condition = Condition::Open;
    uint64_t disk_bytes = 0;         ///< of segments, with what is still in memory
    uint64_t disk_budget_bytes = 0;  ///< 0: no budget
    uint64_t segments = 0;
    uint64_t appended_records = 0;  ///< since open
    uint64_t appended_bytes = 0;    ///< payload, since open
    uint64_t syncs = 0;             ///< group syncs since open
    uint64_t waiting_appends = 0;   ///< pushed back just now
};

/// The append-only durable store of opaque records of many streams: one folder, one shared
/// sequence of segment files, one group sync for all streams. Format:
/// docs/reference/formats/trail.md. Reasons: docs/adr/0005-trail-format-and-durability.md.
///
/// Promises: a record whose wait_durable() or sync() succeeded is read back byte for byte after
/// any crash; records above it survive as a prefix of what was appended, or not at all. Nothing
/// that a consumer has not released is removed, but for a consumer cut off by name.
/// A failed write or sync ends the object for writing (trail.io, trail.disk_full): what was
/// durable can still be read; close it and open it again.
///
/// Context: everything on one executor. close() is awaited before the destructor; cursors die
/// before the trail. Storage, Executor and Clock outlive it.
/// Spec. Source: rules 2, 8, 9, 10
class Trail {
public:
    struct Impl;

    /// Opens or makes the folder, alone (lock file), and recovers: a torn tail above the durable
    /// mark is cut; damage below it is listed in recovery() and its records answer trail.damaged
    /// while all others stay readable. The caller decides what damage means.
    /// Errors: common.storage_locked, trail.newer_format, trail.disk_full, common.config,
    /// common.storage_io.
    static Task<Result<std::unique_ptr<Trail>>> open(
        Storage& storage, Executor& executor, Clock& clock, TrailOptions options
    );
    explicit Trail(std::unique_ptr<Impl> impl);
    ~Trail();

    /// Refuses new work, makes everything appended durable, writes the consumers file, ends all
    /// waits with trail.closed. May be called twice. Errors: as sync().
    Task<Status> close();

    const Recovery& recovery() const;
    TrailStatus status() const;

    /// Appends behind the stream's last record: sequence + 1 of its epoch, or 1 of a higher one;
    /// the first of a new stream is sequence 1. Not durable yet. Waits while too much is unwritten
    /// or the disk budget is used up. `payload` is copied; it outlives the await.
    /// One append at a time per stream; streams beside each other. Nothing is appended when `stop`
    /// ends a wait for the budget.
    /// Errors: trail.out_of_order, trail.too_large, trail.over_budget, trail.io, trail.disk_full,
    /// trail.closed, common.cancelled.
    Task<Status> append(StreamId stream, StreamPoint point, ByteView payload, StopSignal& stop);
    /// The same, with a wait that only close() ends.
    Task<Status> append(StreamId stream, StreamPoint point, ByteView payload);

    /// Starts a stream again behind `before`, or a new one in the middle: what is held of it is
    /// dropped for readers, and the next append must follow `before`. For a receiver that joins
    /// late and for fetching damaged records again. Consumers keep their points. Durable with the
    /// next sync. Errors: trail.io, trail.disk_full, trail.closed.
    Task<Status> restart(StreamId stream, StreamPoint before);

    /// Durable on success: everything appended before the call. Concurrent callers share one sync.
    /// Errors: trail.io, trail.disk_full, trail.closed.
    Task<Status> sync();
    /// Durable on success: the stream up to `point`. Errors: as sync(); trail.out_of_order when
    /// `point` was never appended.
    Task<Status> wait_durable(StreamId stream, StreamPoint point);

    std::vector<StreamId> streams() const;
    /// The last point of the stream, durable or not; also when its records were removed since.
    std::optional<StreamPoint> tail(StreamId stream) const;
    std::optional<StreamPoint> durable_tail(StreamId stream) const;
    /// The first record still held.
    std::optional<StreamPoint> first(StreamId stream) const;

    /// One durable record. Errors: trail.gone (removed), trail.out_of_order (not there yet, or its
    /// epoch ended before it), trail.damaged.
    Task<Result<Record>> find(StreamId stream, StreamPoint point);
    /// Where a reader of everything held starts: the point before first(), (0, 0) when nothing was
    /// removed.
    StreamPoint held_after(StreamId stream) const;
    /// Reads the durable records behind `after`, in order. The stream need not exist yet.
    Cursor read(StreamId stream, StreamPoint after);

    /// Makes `name` hold back retention behind `released`. Again with the same or a higher point:
    /// moves it there; a consumer that was cut off becomes active. Durable on return.
    /// Errors: trail.consumer_went_back, trail.gone when the records behind it were removed,
    /// trail.out_of_order beyond the tail, trail.io, trail.disk_full.
    Task<Status> register_consumer(StreamId stream, std::string name, StreamPoint released);
    /// `name` needs nothing up to and including `released`. Written within 200 ms, so after a crash
    /// the point may lag behind, never run ahead. Errors: trail.consumer_went_back,
    /// trail.unknown_consumer, trail.cut_off, trail.out_of_order beyond the durable tail.
    Status release(StreamId stream, const std::string& name, StreamPoint released);
    /// Forgets `name`; retention waits for it no more. Durable on return.
    /// Errors: trail.unknown_consumer, trail.io, trail.disk_full.
    Task<Status> revoke(StreamId stream, std::string name);
    std::vector<Consumer> consumers(StreamId stream) const;

private:
    friend class Cursor;
    std::unique_ptr<Impl> impl_;
};

}  // namespace qiao::trail
