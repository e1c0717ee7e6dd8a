#include "qiao/link/stream.h"

#include "qiao/link/internal/stream_table.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::link {

using internal::StreamTable;

OutgoingStream::OutgoingStream(StreamTable& table, uint32_t number, StreamOffer offer)
    : table_(table),
      number_(number),
      offer_(std::move(offer)),
      lane_(std::make_shared<internal::Lane>(table.executor_)),
      changed_(table.executor_) {}

OutgoingStream::~OutgoingStream() {
    table_.queue_.drop(*lane_);
    if (!ended_) {
        table_.queue_.put_statement(WithdrawFrame{offer_.stream, number_});
    }
    table_.outgoing_.erase(offer_.stream);
}

void OutgoingStream::withdraw(Error reason) {
    if (ended_) {
        return;
    }
    ended_ = std::move(reason);
    table_.queue_.drop(*lane_);
    table_.queue_.put_statement(WithdrawFrame{offer_.stream, number_});
    changed_.pulse();
}

Task<Result<StreamState>> OutgoingStream::state() {
    while (!state_ && !ended_) {
        co_await changed_.wait();
    }
    if (ended_) {
        co_return *ended_;
    }
    co_return *state_;
}

Task<Status> OutgoingStream::send(StreamPoint point, Bytes packet) {
    if (packet.size() > kPacketBytesMax) {
        co_return Error(
            ErrorCode::LinkTooLarge,
            fmt::format("a packet of {} bytes, at most {}", packet.size(), kPacketBytesMax)
        );
    }
    // One packet may overdraw the window, so that one larger than the window can pass.
    while (sent_ >= allowed_ && !ended_) {
        co_await changed_.wait();
    }
    if (ended_) {
        co_return *ended_;
    }
    DataFrame frame{offer_.stream, number_, point, std::move(packet)};
    sent_ += frame.cost();
    const bool queued = co_await table_.queue_.put(lane_, encode(std::move(frame)));
    if (ended_) {
        co_return *ended_;
    }
    QIAO_ASSERT(queued);
    co_return Status{};
}

Task<Result<Acknowledgement>> OutgoingStream::next_acknowledgement() {
    while (acknowledged_.empty() && !ended_) {
        co_await changed_.wait();
    }
    if (acknowledged_.empty()) {
        co_return *ended_;
    }
    auto next = std::move(acknowledged_.front());
    acknowledged_.pop_front();
    co_return next;
}

IncomingStream::IncomingStream(StreamTable& table, uint32_t number, StreamOffer offer)
    : table_(table), number_(number), offer_(std::move(offer)), arrived_(table.executor_) {}

IncomingStream::~IncomingStream() = default;

void IncomingStream::accept(const StreamState& state) {
    if (ended_) {
        return;
    }
    announced_ = std::max(announced_, returned_ + table_.window());
    table_.queue_.put_statement(StateFrame{offer_.stream, number_, announced_, state});
}

void IncomingStream::refuse(const Error& reason) {
    if (ended_) {
        return;
    }
    table_.refuse(offer_.stream, number_, reason);
    end(reason);
}

void IncomingStream::end(Error reason) {
    if (!ended_) {
        ended_ = std::move(reason);
        packets_.clear();
        arrived_.pulse();
        stop_.request();
    }
}

Task<Result<IncomingPacket>> IncomingStream::receive() {
    while (packets_.empty() && !ended_) {
        co_await arrived_.wait();
    }
    if (ended_) {
        co_return *ended_;
    }
    co_return *try_receive();
}

std::optional<IncomingPacket> IncomingStream::try_receive() {
    if (packets_.empty()) {
        return std::nullopt;
    }
    auto packet = std::move(packets_.front());
    packets_.pop_front();
    return packet;
}

void IncomingStream::return_credit(uint64_t cost) {
    returned_ += cost;
    QIAO_ASSERT(returned_ <= received_);
    const auto window = table_.window();
    const auto allowed = returned_ + window;
    // Not for each packet: the sender still has most of the window.
    if (!ended_ && allowed >= announced_ + (window + 3) / 4) {
        announced_ = allowed;
        table_.queue_.put_statement(WindowFrame{offer_.stream, number_, allowed});
    }
}

void IncomingStream::acknowledge(Acknowledgement acknowledgement) {
    QIAO_ASSERT(acknowledgement.reached.consumer.size() <= kConsumerBytesMax);
    QIAO_ASSERT(acknowledgement.signer.size() <= kSignerBytesMax);
    if (!table_.ended_) {
        table_.queue_.put_statement(AckFrame{offer_.stream, std::move(acknowledgement)});
    }
}

}  // namespace qiao::link
