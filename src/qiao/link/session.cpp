#include "qiao/link/session.h"

#include "qiao/common/async/sleep.h"
#include "qiao/common/plant.h"
#include "qiao/link/frame.h"
#include "qiao/link/internal/call_table.h"
#include "qiao/link/internal/close_guard.h"
#include "qiao/link/internal/frame_reader.h"
#include "qiao/link/internal/send_queue.h"
#include "qiao/link/internal/stream_table.h"
#include "qiao/link/internal/wire_error.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::link {
namespace {

/// How long the peer may take to read a Goodbye before the connection is closed anyway.
constexpr Duration kGoodbyePatience = std::chrono::seconds(2);

constexpr Duration kSecondLook = std::chrono::milliseconds(100);

uint64_t to_wire(MonoTime time) { return static_cast<uint64_t>(time.time_since_epoch().count()); }

GoodbyeFrame goodbye(const Error& reason) { return {internal::wire_code(reason), reason.detail()}; }

}  // namespace

Session::Session(
    Executor& executor, Clock& clock, AuthenticatedConnection connection, SessionOptions options
)
    : executor_(executor),
      clock_(clock),
      options_(std::move(options)),
      connection_(std::move(connection.connection)),
      reader_(std::make_unique<internal::FrameReader>(*connection_, clock)),
      queue_(std::make_unique<internal::SendQueue>(
          executor, options_.send_queue_bytes, TokenBucket(options_.bytes_per_second, clock.now())
      )),
      scope_(executor) {
    peer_.name = std::move(connection.peer_name);
    peer_.fingerprint = std::move(connection.peer_fingerprint);
    peer_.valid_until = connection.peer_valid_until;
    peer_.address = connection_->peer();
    streams_ =
        std::make_unique<internal::StreamTable>(executor, *queue_, scope_, options_, peer_, stats_);
    calls_ =
        std::make_unique<internal::CallTable>(executor, clock, *queue_, scope_, options_, peer_);
}

Session::~Session() = default;

Task<Result<std::unique_ptr<Session>>> Session::open(
    Executor& executor,
    Clock& clock,
    AuthenticatedConnection connection,
    SessionOptions options,
    Deadline deadline,
    StopSignal& stop
) {
    auto session = std::unique_ptr<Session>(
        new Session(executor, clock, std::move(connection), std::move(options))
    );
    const internal::CloseGuard guard(clock, *session->connection_, deadline, stop);
    const Status exchanged = co_await session->exchange_hello();
    if (!exchanged) {
        co_return guard.explain(exchanged.error());
    }
    session->reader_->lift_hello_bound();
    co_return session;
}

Task<Status> Session::exchange_hello() {
    HelloFrame ours;
    ours.features_required = options_.features_required;
    ours.features_optional = options_.features_optional;
    ours.incarnation = options_.incarnation;
    ours.node_name = options_.node_name;
    const auto frame = encode(ours);
    QIAO_CO_CHECK(co_await connection_->write_all(frame.head));
    QIAO_CO_TRY(const auto theirs, co_await read_hello());
    const auto accepted = accept_hello(theirs);
    if (!accepted) {
        const auto farewell = encode(goodbye(accepted.error()));
        QIAO_CO_CHECK(co_await connection_->write_all(farewell.head));
        co_await wait_for_end();
    }
    co_return accepted;
}

Task<void> Session::wait_for_end() {
    auto frame = co_await reader_->next();
    while (frame && static_cast<FrameType>(frame->type) != FrameType::Goodbye) {
        frame = co_await reader_->next();
    }
    connection_->close();
}

Task<Result<HelloFrame>> Session::read_hello() {
    QIAO_CO_TRY(auto raw, co_await reader_->next());
    QIAO_CO_TRY(auto frame, decode(std::move(raw)));
    if (const auto* farewell = std::get_if<GoodbyeFrame>(&frame)) {
        co_return internal::error_from_wire(
            farewell->code, farewell->detail, peer_.name, ErrorCode::LinkRefused
        );
    }
    auto* hello = std::get_if<HelloFrame>(&frame);
    if (hello == nullptr) {
        co_return Error(ErrorCode::LinkProtocol, "the first frame is no Hello");
    }
    co_return std::move(*hello);
}

Status Session::accept_hello(const HelloFrame& hello) {
    if (hello.major != kProtocolMajor) {
        return Error(
            ErrorCode::LinkVersion,
            fmt::format(
                "{} speaks version {}.{}, {} speaks {}.{}",
                peer_.name,
                hello.major,
                hello.minor,
                options_.node_name,
                kProtocolMajor,
                kProtocolMinor
            )
        );
    }
    const auto known = options_.features_required | options_.features_optional;
    const auto theirs = hello.features_required | hello.features_optional;
    const auto missing =
        (hello.features_required & ~known) | (options_.features_required & ~theirs);
    if (missing != 0) {
        return Error(
            ErrorCode::LinkVersion,
            fmt::format(
                "{} and {} do not both know feature bits {:#x}",
                peer_.name,
                options_.node_name,
                missing
            )
        );
    }
    if (hello.node_name != peer_.name) {
        return Error(
            ErrorCode::LinkWrongName,
            fmt::format("certificate of `{}`, Hello of `{}`", peer_.name, hello.node_name)
        );
    }
    if (!options_.expected_peer.empty() && options_.expected_peer != peer_.name) {
        return Error(
            ErrorCode::LinkWrongName,
            fmt::format("`{}` answered where `{}` was expected", peer_.name, options_.expected_peer)
        );
    }
    peer_.incarnation = hello.incarnation;
    peer_.protocol_minor = std::min(hello.minor, kProtocolMinor);
    peer_.features = known & theirs;
    return {};
}

void Session::set_stream_handler(StreamHandler& handler) { streams_->set_handler(handler); }

void Session::register_method(std::string name, Method method) {
    calls_->add_method(std::move(name), std::move(method));
}

Task<Error> Session::run() {
    QIAO_ASSERT(!running_);
    running_ = true;
    scope_.spawn(read_frames());
    scope_.spawn(write_frames());
    scope_.spawn(keep_alive());
    if (closing_) {
        scope_.spawn(end_later());
    }
    co_await scope_.join();
    co_return *ended_;
}

void Session::close(Error reason) {
    if (closing_ || ended_) {
        return;
    }
    closing_ = std::move(reason);
    queue_->put_statement(goodbye(*closing_));
    streams_->end_all(*closing_);
    calls_->end_all(*closing_);
    queue_->close_lanes();
    if (running_) {
        scope_.spawn(end_later());
    }
}

Task<void> Session::end_later() {
    (void)co_await sleep_for(executor_, clock_, kGoodbyePatience, scope_.stop());
    end(*closing_);
}

void Session::end(const Error& reason) {
    if (ended_) {
        return;
    }
    ended_ = closing_.value_or(reason);
    connection_->close();
    streams_->end_all(*ended_);
    calls_->end_all(*ended_);
    queue_->close_lanes();
    scope_.request_stop();
}

Task<void> Session::read_frames() {
    while (!ended_) {
        auto raw = co_await reader_->next();
        if (!raw) {
            // After a wrong length nothing can be read any more, but the peer can be told.
            raw.error().is(ErrorCode::LinkProtocol) ? close(raw.error()) : end(raw.error());
            break;
        }
        ++stats_.frames_in;
        if (static_cast<FrameType>(raw->type) == FrameType::Data) {
            stats_.last_packet = clock_.now();
        }
        auto taken = dispatch(*std::move(raw));
        if (taken && queue_->flooded()) {
            taken = Error(ErrorCode::LinkProtocol, "the peer asks more than it reads answers");
        }
        if (!taken) {
            close(taken.error());
        }
    }
}

Status Session::dispatch(RawFrame raw) {
    QIAO_TRY(auto frame, decode(std::move(raw)));

    struct Dispatcher {
        Session& session;

        Status operator()(const SkippedFrame& /*frame*/) { return {}; }

        Status operator()(const HelloFrame& /*frame*/) {
            return Error(ErrorCode::LinkProtocol, "a second Hello");
        }

        Status operator()(const PingFrame& ping) {
            session.queue_->put_statement(PongFrame{ping.sent_ns});
            return {};
        }

        Status operator()(const PongFrame& pong) {
            const auto now = to_wire(session.clock_.now());
            if (pong.sent_ns <= now) {
                session.stats_.round_trip = Duration(static_cast<int64_t>(now - pong.sent_ns));
            }
            return {};
        }

        Status operator()(const GoodbyeFrame& goodbye) {
            session.end(internal::error_from_wire(
                goodbye.code, goodbye.detail, session.peer_.name, ErrorCode::LinkClosed
            ));
            return {};
        }

        Status operator()(OfferFrame& frame) { return session.streams_->on(std::move(frame)); }

        Status operator()(StateFrame& frame) { return session.streams_->on(std::move(frame)); }

        Status operator()(DataFrame& frame) { return session.streams_->on(std::move(frame)); }

        Status operator()(AckFrame& frame) { return session.streams_->on(std::move(frame)); }

        Status operator()(const WindowFrame& frame) { return session.streams_->on(frame); }

        Status operator()(const WithdrawFrame& frame) { return session.streams_->on(frame); }

        Status operator()(const RefuseFrame& frame) { return session.streams_->on(frame); }

        Status operator()(CallFrame& frame) { return session.calls_->on(std::move(frame)); }

        Status operator()(ReplyFrame& frame) { return session.calls_->on(std::move(frame)); }

        Status operator()(const ReplyWindowFrame& frame) { return session.calls_->on(frame); }

        Status operator()(const CancelFrame& frame) { return session.calls_->on(frame); }
    };

    return std::visit(Dispatcher{*this}, frame);
}

Task<void> Session::write_frames() {
    internal::Batch batch;
    const auto timer = clock_.make_timer();
    const auto wake = [this] { queue_->work().pulse(); };
    while (!ended_) {
        const auto now = clock_.now();
        queue_->take(batch, now);
        if (batch.empty()) {
            if (closing_) {
                // The Goodbye is written; the peer closes when it has read it. Closing first could
                // make its kernel throw the Goodbye away.
                break;
            }
            if (queue_->lanes_wait()) {
                timer->start(queue_->bucket().ready_at(now), wake);
            }
            co_await queue_->work().wait();
            continue;
        }
        auto written = co_await connection_->write_all(batch.small);
        if (written && !batch.large.empty()) {
            written = co_await connection_->write_all(batch.large);
        }
        if (!written) {
            end(written.error());
            break;
        }
        stats_.bytes_out += batch.small.size() + batch.large.size();
        stats_.frames_out += batch.frames;
        if (batch.packets != 0) {
            stats_.packets_out += batch.packets;
            stats_.last_packet = now;
        }
    }
}

Task<void> Session::keep_alive() {
    const auto interval = options_.idle_deadline / 3;
    bool suspected = false;
    while (!ended_) {
        const auto dead_at = reader_->last_heard() + options_.idle_deadline;
        const auto now = clock_.now();
        auto next = std::min(now + interval, dead_at);
        if (now < dead_at) {
            suspected = false;
            queue_->put_statement(PingFrame{to_wire(now)});
        } else if (is_planted(Plant::HalfOpenNeverClosed)) {
            next = now + interval;
        } else if (!suspected) {
            // Perhaps it was we who stood still: first read what has arrived meanwhile.
            suspected = true;
            next = now + kSecondLook;
        } else {
            const std::chrono::duration<double> silence = now - reader_->last_heard();
            end(Error(
                ErrorCode::LinkIdle,
                fmt::format("{} silent for {:.1f} s", peer_.name, silence.count())
            ));
            break;
        }
        (void)co_await sleep_until(executor_, clock_, next, scope_.stop());
    }
}

std::unique_ptr<OutgoingStream> Session::offer(StreamOffer offer) {
    return streams_->offer(std::move(offer));
}

Task<Result<std::unique_ptr<ReplyStream>>> Session::call_streamed(
    std::string method, Bytes argument, Deadline deadline
) {
    co_return co_await calls_->call(std::move(method), std::move(argument), deadline);
}

Task<Result<Bytes>> Session::call(std::string method, Bytes argument, Deadline deadline) {
    QIAO_CO_TRY(
        const auto reply, co_await calls_->call(std::move(method), std::move(argument), deadline)
    );
    Bytes whole;
    while (true) {
        QIAO_CO_TRY(auto part, co_await reply->next());
        if (!part) {
            co_return whole;
        }
        if (whole.size() + part->size() > kReplyBytesMax) {
            co_return Error(
                ErrorCode::LinkTooLarge, fmt::format("an answer of over {} bytes", kReplyBytesMax)
            );
        }
        if (whole.empty()) {
            whole = *std::move(part);
        } else {
            whole.insert(whole.end(), part->begin(), part->end());
        }
    }
}

uint64_t Session::rate() const { return queue_->bucket().rate(); }

void Session::set_rate(uint64_t bytes_per_second) {
    queue_->bucket().set_rate(bytes_per_second, clock_.now());
    queue_->work().pulse();
}

SessionStats Session::stats() const {
    auto stats = stats_;
    stats.bytes_in = reader_->bytes();
    stats.last_heard = reader_->last_heard();
    stats.outgoing_streams = streams_->outgoing();
    stats.incoming_streams = streams_->incoming();
    stats.queued_bytes = queue_->bytes();
    return stats;
}

}  // namespace qiao::link
