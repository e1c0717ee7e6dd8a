#pragma once

#include "qiao/common/async/event.h"
#include "qiao/common/async/task.h"
#include "qiao/common/bytes.h"
#include "qiao/common/clock.h"
#include "qiao/common/result.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>

namespace qiao::link {

namespace internal {
class CallTable;
class Lane;
}  // namespace internal

constexpr size_t kMethodNameBytesMax = 256;
constexpr size_t kArgumentBytesMax = size_t{1} << 20U;
/// What Session::call() collects; larger answers are read through a ReplyStream.
constexpr size_t kReplyBytesMax = size_t{16} << 20U;

/// Where a method puts its answer, in as many parts as it likes.
class ReplySink {
public:
    ReplySink(const ReplySink&) = delete;
    ReplySink& operator=(const ReplySink&) = delete;
    ~ReplySink();

    /// Waits for the caller's credit. Large parts travel in pieces; the boundaries between parts
    /// are not kept. Errors: common.cancelled when the caller has gone, why the session ended.
    Task<Status> send(Bytes part);

private:
    friend class internal::CallTable;
    ReplySink(internal::CallTable& table, uint64_t request, uint64_t allowed);

    internal::CallTable& table_;
    const uint64_t request_;
    std::shared_ptr<internal::Lane> lane_;
    uint64_t allowed_ = 0;
    uint64_t sent_ = 0;
    std::optional<Error> ended_;
    Event changed_;
};

/// Answers a call of the peer. A failure becomes the caller's error, with its code and detail.
using Method = std::function<Task<Status>(Bytes argument, ReplySink& sink)>;

/// The parts of one answer. Its end tells the peer to stop. Lives at most as long as its session.
class ReplyStream {
public:
    ReplyStream(const ReplyStream&) = delete;
    ReplyStream& operator=(const ReplyStream&) = delete;
    ~ReplyStream();

    /// The next piece; empty after the last. Errors: the method's own, link.call_failed when its
    /// code is not in our catalogue, common.deadline_passed, why the session ended.
    Task<Result<std::optional<Bytes>>> next();

private:
    friend class internal::CallTable;
    ReplyStream(internal::CallTable& table, uint64_t request);

    void end(Error reason);

    internal::CallTable& table_;
    const uint64_t request_;
    std::deque<Bytes> parts_;
    uint64_t received_ = 0;
    uint64_t taken_ = 0;
    uint64_t announced_ = 0;
    bool complete_ = false;
    std::optional<Error> ended_;
    std::unique_ptr<Clock::Timer> timer_;
    Event arrived_;
};

}  // namespace qiao::link
