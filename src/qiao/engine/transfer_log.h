#pragma once

#include "qiao/common/async/executor.h"
#include "qiao/common/async/stop.h"
#include "qiao/common/async/task.h"
#include "qiao/common/clock.h"
#include "qiao/common/error.h"
#include "qiao/common/id.h"
#include "qiao/common/result.h"
#include "qiao/common/storage.h"
#include "qiao/packet/header.h"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qiao::engine {

/// What happened to a packet. Numbers never change.
enum class HandOverKind : uint8_t {
    Captured = 1,  ///< closed by the packer
    Sent = 2,      ///< given to the link
    Held = 3,      ///< durable at the receiver
    Applied = 4,   ///< committed at the target
    Loaded = 5,    ///< a load part, committed at the target
    Refused = 6,   ///< not taken; `outcome` says why
};

std::string_view to_text(HandOverKind kind);

/// One packet changing hands: all but the time, which the log adds. No values of rows. Spec: R-75
struct HandOver {
    HandOverKind kind = HandOverKind::Captured;
    std::string peer;  ///< the other node; empty: none takes part
    std::string flow;
    StreamId stream;
    StreamPoint point;
    model::SourcePosition first, last;
    packet::ChangeCounts counts;
    uint64_t bytes = 0;  ///< of the packet as it stands
    Digest digest;
    std::optional<ErrorCode> outcome;  ///< none: it went well
    bool operator==(const HandOver&) const = default;

    /// From the packet's own headers.
    static HandOver of(
        HandOverKind kind,
        const packet::OriginHeader& origin,
        size_t bytes,
        const Digest& digest,
        std::string flow,
        std::string peer
    );
};

struct TransferLogOptions {
    std::string folder;  ///< made when missing
    std::string node;
    uint64_t segment_bytes = uint64_t{64} << 20U;
    uint64_t segments_kept = 64;             ///< beyond, the oldest is removed
    size_t buffer_bytes = size_t{4} << 20U;  ///< not yet written, at most
    Duration flush_every = std::chrono::seconds(1);
};

struct TransferLogStatus {
    uint64_t records = 0;  ///< since open
    uint64_t lost = 0;     ///< did not fit into the buffer while the disk did not take it
    size_t buffered_bytes = 0;
    uint64_t segment = 0;
    std::optional<Error> last_error;  ///< of the last write; none: it went well
};

/// The transfer log of a node: one typed record for each packet at each hand-over, only ever
/// appended. Evidence, not custody: what a crash takes is at most what came since the last flush,
/// and no transfer ever waits for it. A record may be there twice after a failed write.
/// Format: docs/reference/formats/transfer_log.md. Context: one executor. Spec
class TransferLog {
public:
    TransferLog(Storage& storage, Executor& executor, Clock& clock, TransferLogOptions options)
        : storage_(storage), executor_(executor), clock_(clock), options_(std::move(options)) {}

    TransferLog(const TransferLog&) = delete;
    TransferLog& operator=(const TransferLog&) = delete;
    ~TransferLog();

    /// Cuts a torn tail and goes on behind it. One log a folder, by the state folder's lock. After
    /// an error, which is in status() too, flush() tries it again; what comes meanwhile waits.
    /// Errors: common.storage_*; engine.transfer_log for a segment of a newer format.
    Task<Status> open();

    /// Takes a record into the buffer, with the time of now. Never waits and never fails: with the
    /// buffer full it counts the record as lost.
    void record(const HandOver& hand_over);

    /// Counts a record that its giver had no room for.
    void lose() { ++status_.lost; }

    /// Writes and syncs once a period and, after stop, a last time. Once.
    Task<void> run(StopSignal& stop);

    /// Writes and syncs what is buffered. One at a time; run() calls it.
    Task<Status> flush();

    TransferLogStatus status() const;

private:
    Task<Status> recover();
    Task<Status> reopen();
    Task<Status> begin_segment();
    Task<Status> sync();
    Task<Status> remove_oldest();
    Task<Status> write(const std::vector<Bytes>& bodies, size_t& written);
    std::string path(uint64_t number) const;

    Storage& storage_;
    Executor& executor_;
    Clock& clock_;
    TransferLogOptions options_;
    std::unique_ptr<File> file_;  ///< none: the next flush begins a segment
    bool opened_ = false;
    MonoTime open_due_;  ///< of the next try
    Duration open_pause_{0};
    uint64_t number_ = 0;
    uint64_t offset_ = 0;
    /// The newest segment has a record that is on disk. One without is removed before the next
    /// begins, or a disk that is full for hours would count up to where evidence is removed.
    bool kept_ = true;
    std::optional<Error> removal_error_;
    std::vector<Bytes> buffer_;
    TransferLogStatus status_;
};

/// A record as it was read.
struct LoggedHandOver {
    WallTime at;
    std::string node;
    HandOver hand_over;
};

struct TransferLogSummary {
    uint64_t segments = 0, records = 0, bytes = 0;
    uint64_t torn_bytes = 0;          ///< at the end of the newest segment
    std::vector<std::string> damage;  ///< places that are not as they were written
};

/// Reads every record of a folder in order; changes nothing and takes no lock.
/// Errors: common.storage_*, engine.transfer_log.
Task<Result<TransferLogSummary>> read_transfer_log(
    Storage& storage, std::string folder, std::function<void(const LoggedHandOver&)> visit
);

}  // namespace qiao::engine
