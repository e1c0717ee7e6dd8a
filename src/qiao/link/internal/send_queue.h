#pragma once

#include "qiao/common/async/event.h"
#include "qiao/common/async/task.h"
#include "qiao/link/frame.h"
#include "qiao/link/token_bucket.h"

#include <deque>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

namespace qiao::link::internal {

/// What one stream or one answer has queued. Kept alive by the queue until it is written.
class Lane {
public:
    explicit Lane(Executor& executor) : room_(executor) {}

private:
    friend class SendQueue;

    std::deque<OutFrame> frames_;
    size_t bytes_ = 0;
    size_t earned_ = 0;     ///< bytes that its turns allow; see SendQueue::take
    bool starved_ = false;  ///< stands in SendQueue::starved_
    Event room_;
};

/// What one write of the connection takes: small frames copied together, and after them at most
/// one large body as it is.
struct Batch {
    Bytes small;
    Bytes large;
    uint64_t frames = 0;
    uint64_t packets = 0;

    bool empty() const { return small.empty(); }
};

/// What a session sends and in which order: statements of state first, then the lanes in turns of
/// equal bytes, so that no stream starves another. Bounded: statements because a newer one takes
/// the place of an older one about the same thing, lanes because put() waits.
class SendQueue {
public:
    SendQueue(Executor& executor, size_t bytes_max, TokenBucket bucket)
        : bytes_max_(bytes_max), bucket_(bucket), work_(executor) {}

    /// Statements of state. One with the same key that waits is replaced.
    template <class Frame>
    void put_statement(const Frame& frame) {
        put_statement(key_of(frame), encode(frame));
    }

    /// Waits for room in the lane and in the queue. False: the queue was closed.
    Task<bool> put(std::shared_ptr<Lane> lane, OutFrame frame);
    /// For what is bounded otherwise.
    void put_now(const std::shared_ptr<Lane>& lane, OutFrame frame);
    /// Forgets what the lane has queued.
    void drop(Lane& lane);

    /// The next write. Empty: nothing may go now; wait for work(), or for ready_at() if lanes_wait.
    void take(Batch& batch, MonoTime now);

    bool lanes_wait() const { return !turns_.empty(); }

    TokenBucket& bucket() { return bucket_; }

    /// Pulsed when there may be something to take.
    Event& work() { return work_; }

    /// Lanes take and give nothing any more; statements still do.
    void close_lanes();

    size_t bytes() const { return bytes_; }

    /// The peer makes us say more than it reads.
    bool flooded() const { return statement_bytes_ > kStatementBytesMax; }

private:
    static constexpr size_t kLaneBytesMax = size_t{1} << 20U;
    static constexpr size_t kBatchBytes = size_t{256} << 10U;
    static constexpr size_t kTurnBytes = size_t{64} << 10U;
    static constexpr size_t kStatementBytesMax = size_t{32} << 20U;

    struct Statement {
        std::string key;
        OutFrame frame;
    };

    static std::string key_of(const OfferFrame& frame);
    static std::string key_of(const StateFrame& frame);
    static std::string key_of(const AckFrame& frame);
    static std::string key_of(const WindowFrame& frame);
    static std::string key_of(const WithdrawFrame& frame);
    static std::string key_of(const RefuseFrame& frame);
    static std::string key_of(const ReplyFrame& frame);
    static std::string key_of(const ReplyWindowFrame& frame);
    static std::string key_of(const CancelFrame& frame);
    static std::string key_of(const PingFrame& frame);
    static std::string key_of(const PongFrame& frame);
    static std::string key_of(const GoodbyeFrame& frame);

    void put_statement(std::string key, OutFrame frame);
    void take_statements(Batch& batch, MonoTime now);
    void take_from(Lane& lane, Batch& batch, MonoTime now);
    void let_next_in();
    void leave_starved(Lane& lane);

    size_t bytes_max_;
    TokenBucket bucket_;
    std::list<Statement> statements_;
    std::unordered_map<std::string, std::list<Statement>::iterator> by_key_;
    size_t statement_bytes_ = 0;
    std::deque<std::shared_ptr<Lane>> turns_;    ///< lanes with something queued
    std::deque<std::shared_ptr<Lane>> starved_;  ///< lanes that wait for room in the whole queue
    size_t bytes_ = 0;                           ///< of all lanes
    bool closed_ = false;
    Event work_;
};

}  // namespace qiao::link::internal
