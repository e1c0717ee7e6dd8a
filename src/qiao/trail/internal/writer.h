#pragma once

#include "qiao/common/async/event.h"
#include "qiao/common/storage.h"
#include "qiao/trail/internal/format.h"

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace qiao::trail::internal {

/// A piece of a segment in memory. Its buffer never moves: readers hold views into what is durable
/// while the writer adds behind it.
struct Block {
    uint64_t segment = 0;
    uint64_t offset = 0;  ///< of the first byte in the segment
    uint64_t ticket = 0;  ///< bytes put before the first one, since open
    Bytes bytes;          ///< reserved once
    size_t written = 0;   ///< bytes given to the file

    uint64_t end() const { return offset + bytes.size(); }
};

struct WriterStart {
    uint64_t segment = 0;  ///< 0: no segment yet, begin_segment() comes first
    uint64_t offset = 0;
    uint64_t records = 0;  ///< in that segment
    Mark mark;
    std::unique_ptr<File> data;  ///< of `segment`
    std::unique_ptr<File> mark_file;
    std::string release;  ///< of this program, for the heads of its segments
};

/// Puts records into memory at once and onto the disk in groups: one write for what has gathered,
/// then one sync of the data, then the mark and its sync, and only then is the group durable.
/// Invariants: bytes reach the disk in the order they were put; a segment is durable, and marked
/// so, before the next one is made; after the first failure nothing is written any more.
class Writer {
public:
    Writer(
        Storage& storage,
        Executor& executor,
        std::string folder,
        uint64_t cache_bytes,
        WriterStart start
    );

    /// Adds a record to the newest segment; gives its offset. Never fails, never waits.
    uint64_t put(RecordHead head, ByteView body);
    /// Seals the newest segment and begins the next one; gives the bytes that the seal took.
    uint64_t begin_segment(WallTime now);

    uint64_t segment() const { return segment_; }

    uint64_t segment_end() const { return end_; }

    /// All bytes ever put; wait_durable(ticket()) means: all of them.
    uint64_t ticket() const { return ticket_; }

    uint64_t durable_ticket() const { return durable_ticket_; }

    const Mark& mark() const { return mark_; }

    uint64_t syncs() const { return syncs_; }

    /// Waits while more is in memory unwritten than one burst may be. Errors: as wait_durable().
    Task<Status> wait_room();
    /// Errors: trail.io, trail.disk_full, trail.closed.
    Task<Status> wait_durable(uint64_t ticket);
    /// The same without waiting.
    void request_durable(uint64_t ticket);

    /// The only one that touches the disk; ends after stop() or a failure. `on_change` is called
    /// whenever more became durable, and at the end.
    Task<void> pump(std::function<void()> on_change);
    void stop();

    /// Ends writing for good, also for failures elsewhere in the folder.
    void fail(const Error& error);

    const std::optional<Error>& failure() const { return failure_; }

    /// The block that holds these bytes, if it is still in memory.
    std::shared_ptr<const Block> cached(uint64_t segment, uint64_t offset) const;

private:
    Block& block_for(size_t bytes);
    bool work() const;
    Task<Status> round();
    Task<Status> write_blocks(uint64_t upto);
    Task<Status> make_durable(uint64_t ticket);
    Task<Status> open_segment(uint64_t number);
    void drop_cached();

    Storage& storage_;
    std::string folder_;
    uint64_t cache_bytes_;
    uint64_t segment_;  ///< newest, possibly only in memory
    uint64_t end_;      ///< its size
    uint64_t records_;  ///< in it, for the seal
    uint64_t ticket_ = 0;
    uint64_t written_ticket_ = 0;
    uint64_t durable_ticket_ = 0;
    uint64_t wanted_ = 0;  ///< highest ticket somebody waits for
    uint64_t cached_bytes_ = 0;
    uint64_t syncs_ = 0;
    std::deque<std::shared_ptr<Block>> blocks_;
    Mark mark_;
    uint64_t file_segment_;  ///< that data_ belongs to
    uint64_t file_end_;      ///< written so far
    std::unique_ptr<File> data_;
    std::unique_ptr<File> mark_file_;
    std::string release_;
    std::optional<Error> failure_;
    bool stopping_ = false;
    Event wake_;
    Event changed_;  ///< pulsed after every round
    std::function<void()> on_change_;
};

}  // namespace qiao::trail::internal
