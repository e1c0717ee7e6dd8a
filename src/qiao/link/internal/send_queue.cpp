#include "qiao/link/internal/send_queue.h"

#include <algorithm>

namespace qiao::link::internal {
namespace {

/// The thing that a statement is about, as bytes: its type and what tells it from others.
class Key {
public:
    explicit Key(FrameType type) { writer_.put(static_cast<uint8_t>(type)); }

    Key& about(const StreamId& stream) {
        writer_.append(stream.view());
        return *this;
    }

    template <std::unsigned_integral T>
    Key& number(T value) {
        writer_.put(value);
        return *this;
    }

    Key& name(std::string_view text) {
        writer_.append(as_bytes(text));
        return *this;
    }

    std::string text() const { return std::string(as_text(writer_.view())); }

private:
    ByteWriter writer_;
};

void append(Bytes& to, const Bytes& from) { to.insert(to.end(), from.begin(), from.end()); }

}  // namespace

std::string SendQueue::key_of(const OfferFrame& frame) {
    return Key(FrameType::Offer).about(frame.content.stream).text();
}

std::string SendQueue::key_of(const StateFrame& frame) {
    return Key(FrameType::State).about(frame.stream).text();
}

std::string SendQueue::key_of(const AckFrame& frame) {
    return Key(FrameType::Ack)
        .about(frame.stream)
        .number(static_cast<uint8_t>(frame.content.reached.level))
        .name(frame.content.reached.consumer)
        .text();
}

std::string SendQueue::key_of(const WindowFrame& frame) {
    return Key(FrameType::Window).about(frame.stream).text();
}

std::string SendQueue::key_of(const WithdrawFrame& frame) {
    return Key(FrameType::Withdraw).about(frame.stream).text();
}

std::string SendQueue::key_of(const RefuseFrame& frame) {
    return Key(FrameType::Refuse).about(frame.stream).number(frame.offer).text();
}

std::string SendQueue::key_of(const ReplyFrame& frame) {
    return Key(FrameType::Reply).number(frame.request).text();
}

std::string SendQueue::key_of(const ReplyWindowFrame& frame) {
    return Key(FrameType::ReplyWindow).number(frame.request).text();
}

std::string SendQueue::key_of(const CancelFrame& frame) {
    return Key(FrameType::Cancel).number(frame.request).text();
}

std::string SendQueue::key_of(const PingFrame& /*frame*/) { return Key(FrameType::Ping).text(); }

std::string SendQueue::key_of(const PongFrame& /*frame*/) { return Key(FrameType::Pong).text(); }

std::string SendQueue::key_of(const GoodbyeFrame& /*frame*/) {
    return Key(FrameType::Goodbye).text();
}

void SendQueue::put_statement(std::string key, OutFrame frame) {
    statement_bytes_ += frame.size();
    const auto known = by_key_.find(key);
    if (known != by_key_.end()) {
        statement_bytes_ -= known->second->frame.size();
        statements_.erase(known->second);
        by_key_.erase(known);
    }
    // At the end, not in the old one's place: what was said in between stays before it.
    const auto place = statements_.insert(statements_.end(), {key, std::move(frame)});
    by_key_.emplace(std::move(key), place);
    work_.pulse();
}

Task<bool> SendQueue::put(std::shared_ptr<Lane> lane, OutFrame frame) {
    const auto size = frame.size();
    while (!closed_) {
        if (lane->bytes_ != 0 && lane->bytes_ + size > kLaneBytesMax) {
            co_await lane->room_.wait();
        } else if (bytes_ != 0 && bytes_ + size > bytes_max_) {
            if (!lane->starved_) {
                lane->starved_ = true;
                starved_.push_back(lane);
            }
            co_await lane->room_.wait();
        } else {
            break;
        }
    }
    leave_starved(*lane);
    if (closed_) {
        co_return false;
    }
    put_now(lane, std::move(frame));
    let_next_in();
    co_return true;
}

void SendQueue::put_now(const std::shared_ptr<Lane>& lane, OutFrame frame) {
    if (closed_) {
        return;
    }
    if (lane->frames_.empty()) {
        turns_.push_back(lane);
    }
    lane->bytes_ += frame.size();
    bytes_ += frame.size();
    lane->frames_.push_back(std::move(frame));
    work_.pulse();
}

void SendQueue::drop(Lane& lane) {
    bytes_ -= lane.bytes_;
    lane.bytes_ = 0;
    lane.earned_ = 0;
    lane.frames_.clear();
    leave_starved(lane);
    lane.room_.pulse();
    std::erase_if(turns_, [&](const auto& other) { return other.get() == &lane; });
    let_next_in();
}

void SendQueue::leave_starved(Lane& lane) {
    if (lane.starved_) {
        lane.starved_ = false;
        std::erase_if(starved_, [&](const auto& other) { return other.get() == &lane; });
    }
}

void SendQueue::let_next_in() {
    if (bytes_ < bytes_max_ && !starved_.empty()) {
        starved_.front()->room_.pulse();
    }
}

void SendQueue::take(Batch& batch, MonoTime now) {
    batch.small.clear();
    batch.large = {};
    batch.frames = 0;
    batch.packets = 0;
    take_statements(batch, now);
    while (!turns_.empty() && batch.small.size() < kBatchBytes && batch.large.empty() &&
           bucket_.ready_at(now) <= now) {
        auto lane = turns_.front();
        if (lane->frames_.front().size() <= lane->earned_) {
            take_from(*lane, batch, now);
            continue;
        }
        lane->earned_ += kTurnBytes;
        turns_.pop_front();
        turns_.push_back(std::move(lane));
    }
}

void SendQueue::take_statements(Batch& batch, MonoTime now) {
    while (!statements_.empty() && batch.small.size() < kBatchBytes) {
        auto& next = statements_.front();
        bucket_.take(next.frame.size(), now);
        statement_bytes_ -= next.frame.size();
        append(batch.small, next.frame.head);
        append(batch.small, next.frame.body);
        ++batch.frames;
        by_key_.erase(next.key);
        statements_.pop_front();
    }
}

void SendQueue::take_from(Lane& lane, Batch& batch, MonoTime now) {
    auto frame = std::move(lane.frames_.front());
    const auto size = frame.size();
    lane.frames_.pop_front();
    lane.earned_ -= size;
    lane.bytes_ -= size;
    bytes_ -= size;
    bucket_.take(size, now);
    ++batch.frames;
    if (frame.head[sizeof(uint32_t)] == std::byte{static_cast<uint8_t>(FrameType::Data)}) {
        ++batch.packets;
    }
    append(batch.small, frame.head);
    if (frame.body.size() >= kBatchBytes) {
        batch.large = std::move(frame.body);
    } else {
        append(batch.small, frame.body);
    }
    lane.room_.pulse();
    let_next_in();
    if (lane.frames_.empty()) {
        lane.earned_ = 0;
        turns_.pop_front();
    }
}

void SendQueue::close_lanes() {
    closed_ = true;
    for (const auto& lane : std::exchange(turns_, {})) {
        lane->frames_.clear();
        lane->bytes_ = 0;
        lane->room_.pulse();
    }
    for (const auto& lane : std::exchange(starved_, {})) {
        lane->starved_ = false;
        lane->room_.pulse();
    }
    bytes_ = 0;
    work_.pulse();
}

}  // namespace qiao::link::internal
