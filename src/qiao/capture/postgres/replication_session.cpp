#include "qiao/capture/postgres/replication_session.h"

#include "qiao/capture/postgres/decoder.h"
#include "qiao/capture/postgres/internal/big_endian.h"
#include "qiao/capture/postgres/internal/stream_error.h"
#include "qiao/common/async/sleep.h"

#include <fmt/format.h>

#include <charconv>

namespace qiao::capture::postgres {
namespace {

using drivers::postgres::Connection;
using drivers::postgres::ConnectOptions;
using drivers::postgres::quote_identifier;
using drivers::postgres::quote_literal;
using drivers::postgres::Runtime;
using internal::append_big_endian;
using internal::big_endian;

/// A confirmation waits this long for company: fewer replies, and a second of log is nothing.
constexpr Duration kConfirmDelay = std::chrono::seconds(1);
/// Replies when the server sets no time-out; as PostgreSQL's own subscriber does.
constexpr Duration kPeriodWithoutTimeout = std::chrono::seconds(10);
constexpr Duration kRequestDelay = std::chrono::milliseconds(50);
constexpr Duration kTickLeast = std::chrono::milliseconds(20);

Result<LogMessage> parse(ByteView bytes) {
    ByteReader in(bytes);
    const auto tag = static_cast<char>(in.get<uint8_t>());
    LogMessage message;
    if (tag == 'w') {
        message.start = big_endian<uint64_t>(in);
    } else if (tag == 'k') {
        message.kind = LogMessage::Kind::Keepalive;
    } else {
        in.fail();
    }
    message.end = big_endian<uint64_t>(in);
    message.sent_at = from_postgres_time(big_endian<uint64_t>(in));
    if (!in.ok()) {
        return Error(
            ErrorCode::CaptureProtocol, fmt::format("replication message of {} bytes", bytes.size())
        );
    }
    message.body = in.rest();
    return message;
}

Error start_error(const Error& error, const std::string& slot) {
    const auto detail = fmt::format("{}: {}", slot, error.detail());
    if (error.is(ErrorCode::DbInUse)) {
        return {ErrorCode::CaptureSlotBusy, detail};
    }
    if (error.is(ErrorCode::DbSetting)) {
        return {ErrorCode::CapturePositionLost, detail};
    }
    return error.within(slot);
}

Error open_error(const Error& error) {
    return error.is(ErrorCode::DbResource) ? Error(ErrorCode::CaptureNoSlot, error.detail())
                                           : error;
}

}  // namespace

std::string start_statement(const StartRequest& request) {
    std::string publications;
    for (const auto& name : request.publications) {
        publications += (publications.empty() ? "" : ",") + quote_identifier(name);
    }
    return fmt::format(
        "START_REPLICATION SLOT {} LOGICAL {} (proto_version '{}', publication_names {}, "
        "messages 'true'{}{})",
        quote_identifier(request.slot),
        format_lsn(request.from),
        request.protocol,
        quote_literal(publications),
        request.binary ? ", binary 'true'" : "",
        request.streaming ? ", streaming 'on'" : ""
    );
}

ReplicationSession::ReplicationSession(Runtime runtime, std::unique_ptr<Connection> connection)
    : runtime_(runtime),
      connection_(std::move(connection)),
      sent_(runtime.executor),
      scope_(runtime.executor) {}

Task<Result<std::unique_ptr<SourceSession>>> ReplicationSession::open(
    Runtime runtime, drivers::DataSourceUrl url, StopSignal& stop
) {
    ConnectOptions options;
    options.replication = true;
    options.application_name = "qiao capture";
    options.settings = drivers::postgres::replication_settings();
    auto connection = co_await Connection::open(runtime, url, options, stop);
    if (!connection) {
        co_return open_error(connection.error());
    }
    auto session = std::make_unique<ReplicationSession>(runtime, *std::move(connection));
    QIAO_CO_CHECK(co_await session->identify());
    co_return std::unique_ptr<SourceSession>(std::move(session));
}

Task<Status> ReplicationSession::identify() {
    QIAO_CO_TRY(const auto rows, co_await connection_->query("IDENTIFY_SYSTEM"));
    QIAO_CO_TRY(
        const auto timeout,
        co_await connection_->query(
            "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'"
        )
    );
    if (rows.size() != 1 || timeout.size() != 1) {
        co_return Error(ErrorCode::CaptureProtocol, "IDENTIFY_SYSTEM");
    }
    identity_.system_id = rows.number(0, 0);
    identity_.timeline = static_cast<uint32_t>(rows.number(0, 1));
    const Duration limit = std::chrono::milliseconds(timeout.number(0, 0));
    // A quarter: a reply may be late by a tick, and the server asks again after a half.
    period_ = limit.count() == 0 ? kPeriodWithoutTimeout : limit / 4;
    period_ = std::min(period_, kPeriodWithoutTimeout);
    tick_ = std::clamp(period_ / 2, kTickLeast, kConfirmDelay);
    co_return Status{};
}

Task<Status> ReplicationSession::start(StartRequest request) {
    auto started = co_await connection_->begin_copy_out(start_statement(request));
    if (!started) {
        co_return start_error(started.error(), request.slot);
    }
    last_reply_ = runtime_.clock.now();
    scope_.spawn(reply_on_time());
    co_return Status{};
}

Result<std::optional<LogMessage>> ReplicationSession::next() {
    if (ended_) {
        return std::optional<LogMessage>();
    }
    QIAO_TRY(const auto bytes, connection_->try_copy_out(ended_));
    if (!bytes) {
        return std::optional<LogMessage>();
    }
    QIAO_TRY(auto message, parse(*bytes));
    received_ = std::max({received_, message.start, message.end});
    if (message.kind == LogMessage::Kind::Keepalive) {
        message.reply_requested = !message.body.empty() && message.body[0] != std::byte{0};
        reply_requested_ = reply_requested_ || message.reply_requested;
        message.body = {};
    }
    return std::optional(message);
}

Task<Status> ReplicationSession::wait(StopSignal& stop) {
    while (true) {
        while (sending_) {
            co_await sent_.wait();
        }
        if (ended_) {
            const auto ended = co_await connection_->end_copy_out();
            co_return ended ? Error(ErrorCode::DbLost, "the server ended the replication session")
                            : internal::stream_error(ended.error());
        }
        if (stop.requested()) {
            co_return Error(ErrorCode::Cancelled);
        }
        if (reply_due()) {
            QIAO_CO_CHECK(co_await send_reply());
        }
        auto ready = co_await wait_readable(stop);
        // Woken by the task that keeps the time: there is a reply to send first.
        const bool for_reply =
            !ready && ready.error().is(ErrorCode::Cancelled) && !stop.requested();
        if (!for_reply) {
            co_return ready;
        }
    }
}

Task<Status> ReplicationSession::wait_readable(StopSignal& stop) {
    StopSignal wake;
    StopSignal::Hook hook(stop, [&wake] { wake.request(); });
    wake_ = &wake;
    auto ready = co_await connection_->wait_readable(Deadline::never(), wake);
    wake_ = nullptr;
    co_return ready;
}

bool ReplicationSession::reply_due() const {
    const auto silent = runtime_.clock.now() - last_reply_;
    // A server that shuts down asks again and again until everything is confirmed.
    const bool asked = reply_requested_ && (flushed_ > told_ || silent >= kRequestDelay);
    return asked || silent >= period_ || (flushed_ > told_ && silent >= kConfirmDelay);
}

Task<void> ReplicationSession::reply_on_time() {
    while (true) {
        const auto slept =
            co_await sleep_for(runtime_.executor, runtime_.clock, tick_, scope_.stop());
        if (!slept) {
            co_return;
        }
        if (!reply_due() || ended_) {
            continue;
        }
        if (wake_ != nullptr) {
            wake_->request();
        } else if (!sending_) {
            // A failure is a dead connection, which next() and wait() meet too.
            const auto sent = co_await send_reply();
            if (!sent) {
                co_return;
            }
        }
    }
}

void ReplicationSession::confirm(Lsn keep_from, Lsn safe) {
    flushed_ = std::max(flushed_, keep_from);
    safe_ = std::max(safe_, safe);
}

Task<Status> ReplicationSession::send_reply() {
    if (reply_requested_) {
        flushed_ = std::max(flushed_, safe_);
    }
    const auto flushed = flushed_;
    Bytes reply;
    reply.push_back(std::byte{'r'});
    append_big_endian(reply, std::max(received_, flushed));
    append_big_endian(reply, flushed);
    append_big_endian(reply, flushed);
    append_big_endian(reply, to_postgres_time(runtime_.clock.wall_now()));
    reply.push_back(std::byte{0});
    sending_ = true;
    auto sent = co_await connection_->put_copy_both(reply);
    sending_ = false;
    sent_.pulse();
    reply_requested_ = false;
    last_reply_ = runtime_.clock.now();
    told_ = sent ? flushed : told_;
    co_return sent;
}

Task<void> ReplicationSession::close() {
    scope_.request_stop();
    co_await scope_.join();
    if (flushed_ > told_ && !ended_ && connection_->alive()) {
        // Only what the server then holds longer is at stake.
        (void)co_await send_reply();
    }
}

}  // namespace qiao::capture::postgres
