#include "qiao/link/internal/call_table.h"

#include "qiao/link/internal/wire_error.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::link::internal {

CallTable::CallTable(
    Executor& executor,
    Clock& clock,
    SendQueue& queue,
    TaskScope& scope,
    const SessionOptions& options,
    const PeerInfo& peer
)
    : executor_(executor),
      clock_(clock),
      queue_(queue),
      scope_(scope),
      options_(options),
      peer_(peer),
      lane_(std::make_shared<Lane>(executor)),
      freed_(executor) {}

CallTable::~CallTable() { QIAO_ASSERT(outgoing_.empty() && incoming_.empty()); }

void CallTable::add_method(std::string name, Method method) {
    const bool fresh = methods_.emplace(std::move(name), std::move(method)).second;
    QIAO_ASSERT(fresh);
}

Task<Status> CallTable::wait_for_place(Deadline deadline) {
    const auto timer = clock_.make_timer();
    const auto wake = [this] { freed_.pulse(); };
    if (outgoing_.size() >= options_.calls_max && deadline.at != MonoTime::max()) {
        timer->start(deadline.at, wake);
    }
    while (outgoing_.size() >= options_.calls_max && !ended_) {
        if (deadline.passed(clock_.now())) {
            co_return Error(ErrorCode::DeadlinePassed, "too many calls at once");
        }
        co_await freed_.wait();
    }
    if (ended_) {
        co_return *ended_;
    }
    co_return Status{};
}

Task<Result<std::unique_ptr<ReplyStream>>> CallTable::call(
    std::string method, Bytes argument, Deadline deadline
) {
    if (argument.size() > kArgumentBytesMax || method.size() > kMethodNameBytesMax) {
        co_return Error(
            ErrorCode::LinkTooLarge, fmt::format("call of {}: {} bytes", method, argument.size())
        );
    }
    QIAO_CO_CHECK(co_await wait_for_place(deadline));
    const auto request = ++last_request_;
    auto reply = std::unique_ptr<ReplyStream>(new ReplyStream(*this, request));
    outgoing_.emplace(request, reply.get());
    if (deadline.at != MonoTime::max()) {
        reply->timer_ = clock_.make_timer();
        const auto give_up = [this, late = reply.get(), method] {
            queue_.put_statement(CancelFrame{late->request_});
            late->end({ErrorCode::DeadlinePassed, fmt::format("{}: {}", peer_.name, method)});
        };
        reply->timer_->start(deadline.at, give_up);
    }
    CallFrame frame{request, reply->announced_, std::move(method), std::move(argument)};
    queue_.put_now(lane_, encode(std::move(frame)));
    co_return reply;
}

void CallTable::forget(uint64_t request) {
    if (outgoing_.erase(request) != 0) {
        freed_.pulse();
    }
}

Status CallTable::on(ReplyFrame frame) {
    const auto place = outgoing_.find(frame.request);
    if (place == outgoing_.end()) {
        return {};
    }
    auto& reply = *place->second;
    if (frame.code != 0) {
        reply.end(
            error_from_wire(frame.code, as_text(frame.part), peer_.name, ErrorCode::LinkCallFailed)
        );
        return {};
    }
    // The last part needs no credit: there is only one.
    if (!frame.last && reply.received_ >= reply.announced_) {
        return Error(ErrorCode::LinkProtocol, "an answer of more than its window");
    }
    reply.received_ += frame.cost();
    if (!frame.part.empty()) {
        reply.parts_.push_back(std::move(frame.part));
    }
    if (frame.last) {
        reply.complete_ = true;
        reply.timer_.reset();
        forget(frame.request);
    }
    reply.arrived_.pulse();
    return {};
}

void CallTable::answer_at_once(uint64_t request, const Error& error) {
    const ReplyFrame frame{request, true, wire_code(error), to_bytes(as_bytes(error.detail()))};
    queue_.put_statement(frame);
}

Status CallTable::on(CallFrame frame) {
    if (ended_) {
        return {};
    }
    if (incoming_.contains(frame.request)) {
        return Error(ErrorCode::LinkProtocol, "a request number twice");
    }
    if (!methods_.contains(frame.method)) {
        answer_at_once(frame.request, {ErrorCode::LinkUnknownMethod, frame.method});
        return {};
    }
    if (incoming_.size() >= options_.calls_max) {
        answer_at_once(
            frame.request, {ErrorCode::LinkBusy, fmt::format("{} calls", incoming_.size())}
        );
        return {};
    }
    auto sink = std::unique_ptr<ReplySink>(new ReplySink(*this, frame.request, frame.allowed));
    incoming_.emplace(frame.request, sink.get());
    scope_.spawn(serve(std::move(frame), std::move(sink)));
    return {};
}

Task<void> CallTable::serve(CallFrame call, std::unique_ptr<ReplySink> sink) {
    const auto& method = methods_.at(call.method);
    auto answering = method(std::move(call.argument), *sink);
    const Status outcome = co_await std::move(answering);
    incoming_.erase(call.request);
    if (sink->ended_) {
        queue_.drop(*sink->lane_);
        co_return;
    }
    ReplyFrame last{call.request, true, 0, {}};
    if (!outcome) {
        last.code = wire_code(outcome.error());
        last.part = to_bytes(as_bytes(outcome.error().detail()));
    }
    queue_.put_now(sink->lane_, encode(std::move(last)));
}

Status CallTable::on(const ReplyWindowFrame& frame) {
    const auto place = incoming_.find(frame.request);
    if (place != incoming_.end()) {
        auto& sink = *place->second;
        sink.allowed_ = std::max(sink.allowed_, frame.allowed);
        sink.changed_.pulse();
    }
    return {};
}

Status CallTable::on(const CancelFrame& frame) {
    const auto place = incoming_.find(frame.request);
    if (place != incoming_.end() && !place->second->ended_) {
        place->second->ended_ = Error(ErrorCode::Cancelled, "by the caller");
        place->second->changed_.pulse();
    }
    return {};
}

void CallTable::end_all(const Error& reason) {
    if (ended_) {
        return;
    }
    ended_ = reason;
    while (!outgoing_.empty()) {
        outgoing_.begin()->second->end(reason);
    }
    for (const auto& [request, sink] : incoming_) {
        if (!sink->ended_) {
            sink->ended_ = reason;
            sink->changed_.pulse();
        }
    }
    freed_.pulse();
}

}  // namespace qiao::link::internal
