#pragma once

#include "qiao/common/async/scope.h"
#include "qiao/trail/internal/consumers.h"
#include "qiao/trail/internal/index.h"
#include "qiao/trail/internal/writer.h"
#include "qiao/trail/trail.h"

#include <deque>
#include <memory>

namespace qiao::trail {

namespace internal {

/// What recovery hands over: a folder that is locked, mended and known.
struct Opened {
    std::unique_ptr<Storage::Lock> lock;
    Recovery recovery;
    std::unique_ptr<Index> index;
    Consumers consumers;
    bool consumers_damaged = false;
    WriterStart start;
};

/// Locks, reads and mends the folder. Errors: as Trail::open().
Task<Result<Opened>> recover(Storage& storage, Executor& executor, TrailOptions options);

}  // namespace internal

struct Trail::Impl {
    /// Counts the calls inside, so that close() can wait until all have left.
    class Inside {
    public:
        explicit Inside(Impl& impl) : impl_(impl) { ++impl_.inside; }

        Inside(const Inside&) = delete;
        Inside& operator=(const Inside&) = delete;

        ~Inside() {
            if (--impl_.inside == 0) {
                impl_.left.pulse();
            }
        }

    private:
        Impl& impl_;
    };

    Impl(
        Storage& storage,
        Executor& executor,
        Clock& clock,
        TrailOptions options,
        internal::Opened opened
    );

    /// Why nothing may be written now, if so.
    Status writable() const;
    Status check_next(const internal::Stream* stream, StreamPoint point) const;
    Task<Status> wait_budget(uint64_t bytes, StopSignal& stop);
    bool over_budget(uint64_t more) const;
    void put(internal::Stream& stream, StreamPoint point, ByteView payload);
    void define(internal::Stream& stream);
    void rotate();
    void note_durable();

    /// Drops the entries of `segment` into the index again. Errors: trail.gone, common.storage_*.
    Task<Status> load_segment(uint64_t segment);

    // upkeep.cpp: the consumers file and retention
    Task<void> upkeep();
    Task<Status> upkeep_round();
    void note_release();
    Task<Status> save_consumers();
    Task<Status> save_now();
    bool is_free(internal::Segment& segment);
    bool cut_off_slow(const internal::Segment& segment);
    bool room_wanted() const;
    Task<Status> retain();
    std::vector<uint64_t> sealed_segments() const;
    Task<Status> remove_segment(uint64_t number);

    Storage& storage;
    Executor& executor;
    Clock& clock;
    TrailOptions options;
    std::unique_ptr<Storage::Lock> lock;
    Recovery recovery;
    std::unique_ptr<internal::Index> index;
    internal::Consumers consumers;
    internal::Writer writer;

    struct Pending {
        internal::Stream* stream;
        StreamPoint point;
        uint64_t ticket;
    };

    std::deque<Pending> pending;  ///< appended, not yet durable, in order

    bool retention_held = false;  ///< the consumers file was unreadable
    bool closing = false;
    bool closed = false;
    uint64_t appended_records = 0;
    uint64_t appended_bytes = 0;
    uint64_t waiting_appends = 0;
    uint64_t wanted_bytes = 0;   ///< the largest append that waits for room
    uint64_t saved_version = 0;  ///< of consumers, on disk
    bool save_wanted = false;    ///< somebody waits for it: no delay
    uint64_t upkeep_rounds = 0;
    bool upkeep_ended = false;
    MonoTime save_due = MonoTime::max();
    MonoTime grace_due = MonoTime::max();
    std::unique_ptr<Clock::Timer> timer;
    uint64_t inside = 0;
    Event poke;    ///< upkeep has something to do
    Event tended;  ///< pulsed after each round of upkeep
    Event left;    ///< pulsed when the last call left
    TaskScope scope;
};

}  // namespace qiao::trail
