#include "qiao/link/call.h"

#include "qiao/link/internal/call_table.h"

#include <algorithm>

namespace qiao::link {

using internal::CallTable;

ReplySink::ReplySink(CallTable& table, uint64_t request, uint64_t allowed)
    : table_(table),
      request_(request),
      lane_(std::make_shared<internal::Lane>(table.executor_)),
      allowed_(allowed),
      changed_(table.executor_) {}

ReplySink::~ReplySink() = default;

Task<Status> ReplySink::send(Bytes part) {
    for (size_t at = 0; at < part.size();) {
        while (sent_ >= allowed_ && !ended_) {
            co_await changed_.wait();
        }
        if (ended_) {
            co_return *ended_;
        }
        ReplyFrame frame{request_, false, 0, {}};
        const auto length = std::min(part.size() - at, kReplyPartBytesMax);
        if (length == part.size()) {
            frame.part = std::move(part);
        } else {
            frame.part = to_bytes(ByteView(part).subspan(at, length));
        }
        at += length;
        sent_ += frame.cost();
        if (!co_await table_.queue_.put(lane_, encode(std::move(frame)))) {
            co_return ended_.value_or(Error(ErrorCode::Cancelled));
        }
    }
    co_return Status{};
}

ReplyStream::ReplyStream(CallTable& table, uint64_t request)
    : table_(table),
      request_(request),
      announced_(CallTable::kReplyWindowBytes),
      arrived_(table.executor_) {}

ReplyStream::~ReplyStream() {
    if (!complete_ && !ended_) {
        table_.queue_.put_statement(CancelFrame{request_});
        table_.forget(request_);
    }
}

void ReplyStream::end(Error reason) {
    ended_ = std::move(reason);
    if (timer_) {
        timer_->cancel();
    }
    table_.forget(request_);
    arrived_.pulse();
}

Task<Result<std::optional<Bytes>>> ReplyStream::next() {
    while (parts_.empty() && !complete_ && !ended_) {
        co_await arrived_.wait();
    }
    if (parts_.empty()) {
        if (ended_) {
            co_return *ended_;
        }
        co_return std::nullopt;
    }
    std::optional<Bytes> part = std::move(parts_.front());
    parts_.pop_front();
    taken_ += kReplyFieldBytes + part->size();
    const auto allowed = taken_ + CallTable::kReplyWindowBytes;
    if (!complete_ && !ended_ && allowed - announced_ >= CallTable::kReplyWindowBytes / 4) {
        announced_ = allowed;
        table_.queue_.put_statement(ReplyWindowFrame{request_, allowed});
    }
    co_return part;
}

}  // namespace qiao::link
