#include "qiao/drivers/postgres/connection.h"

#include "qiao/common/async/event.h"
#include "qiao/drivers/postgres/sqlstate.h"

#include <fmt/format.h>
#include <libpq-fe.h>

namespace qiao::drivers::postgres {
namespace {

struct ClearResult {
    void operator()(pg_result* result) const { PQclear(result); }
};

using OwnedResult = std::unique_ptr<pg_result, ClearResult>;

bool failed(const pg_result* result) {
    const auto status = PQresultStatus(result);
    return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE ||
           status == PGRES_NONFATAL_ERROR;
}

bool is_copy(const pg_result* result) {
    const auto status = PQresultStatus(result);
    return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

constexpr int kNoMoreRows = -1;
constexpr int kCopyFailed = -2;

/// Parameters as libpq takes them; the parameters outlive it.
struct Bound {
    explicit Bound(std::vector<Parameter>& parameters) {
        for (auto& parameter : parameters) {
            types.push_back(parameter.type);
            lengths.push_back(static_cast<int>(parameter.bytes.size()));
            formats.push_back(parameter.binary ? 1 : 0);
            // libpq reads text up to a zero byte, and needs an address even for an empty value.
            parameter.bytes.push_back(std::byte{0});
            const auto* const text = reinterpret_cast<const char*>(parameter.bytes.data());
            values.push_back(parameter.null ? nullptr : text);
        }
    }

    int count() const { return static_cast<int>(types.size()); }

    std::vector<Oid> types;
    std::vector<const char*> values;
    std::vector<int> lengths;
    std::vector<int> formats;
};

}  // namespace

void Connection::Finish::operator()(pg_conn* connection) const { PQfinish(connection); }

Connection::~Connection() { free_copy_row(); }

void Connection::free_copy_row() {
    PQfreemem(copy_row_);
    copy_row_ = nullptr;
}

bool Connection::alive() const {
    return !abandoned_ && PQstatus(connection_.get()) == CONNECTION_OK;
}

int Connection::server_version() const { return PQserverVersion(connection_.get()); }

int Connection::backend_pid() const { return PQbackendPID(connection_.get()); }

Error Connection::lost() const {
    if (abandoned_) {
        return {ErrorCode::DbLost, "the operation before was stopped"};
    }
    return error_of(connection_.get(), false);
}

Task<Status> Connection::wait(Poller::Interest interest) {
    auto ready = co_await watch_->wait(interest, Deadline::never(), *stop_);
    if (!ready) {
        // The server must not go on with work that nobody waits for.
        abandoned_ = true;
        cancel();
    }
    co_return ready;
}

Task<Status> Connection::flush() {
    while (true) {
        const int left = PQflush(connection_.get());
        if (left == 0) {
            co_return Status{};
        }
        if (left < 0) {
            co_return lost();
        }
        // Reading too: a server that cannot send would not take more either.
        QIAO_CO_CHECK(co_await wait(Poller::Interest::ReadOrWrite));
        if (PQconsumeInput(connection_.get()) == 0) {
            co_return lost();
        }
    }
}

Task<Status> Connection::wait_result() {
    while (PQisBusy(connection_.get()) != 0) {
        const int left = PQflush(connection_.get());
        // A failed flush keeps what the server said before it closed: read on.
        const auto interest = left > 0 ? Poller::Interest::ReadOrWrite : Poller::Interest::Read;
        QIAO_CO_CHECK(co_await wait(interest));
        if (PQconsumeInput(connection_.get()) == 0) {
            co_return lost();
        }
    }
    co_return Status{};
}

Task<Result<pg_result*>> Connection::next_result() {
    if (abandoned_) {
        co_return lost();
    }
    const auto waited = co_await wait_result();
    if (!waited && !waited.error().is(ErrorCode::DbLost)) {
        co_return waited.error();
    }
    // After a loss libpq makes one last result with the reason.
    auto* const result = PQgetResult(connection_.get());
    if (result == nullptr && !waited) {
        co_return waited.error();
    }
    if (result == nullptr) {
        note_statement();
    }
    co_return result;
}

Task<Result<Rows>> Connection::finish_statement() {
    OwnedResult last;
    std::optional<Error> failure;
    while (true) {
        QIAO_CO_TRY(auto* const raw, co_await next_result());
        OwnedResult result(raw);
        if (!result) {
            break;
        }
        if (failed(result.get()) && !failure) {
            failure = error_of(result.get());
        }
        if (is_copy(result.get())) {
            abandoned_ = true;
            co_return Error(ErrorCode::DbStatement, "COPY where none was expected");
        }
        last = std::move(result);
    }
    if (failure) {
        co_return *std::move(failure);
    }
    if (!last) {
        co_return lost();
    }
    co_return Rows(last.release());
}

Status Connection::sent(int ok) {
    if (ok == 0) {
        return lost();
    }
    sent_at_ = runtime_.clock.now();
    return {};
}

/// A replication session's stream is no statement that keeps the server busy.
void Connection::note_statement() const {
    if (runtime_.caps != nullptr && !replication_) {
        runtime_.caps->note_statement(runtime_.clock.now() - sent_at_);
    }
}

Task<Status> Connection::execute(std::string sql) {
    QIAO_CO_CHECK(sent(abandoned_ ? 0 : PQsendQuery(connection_.get(), sql.c_str())));
    QIAO_CO_TRY(const auto rows, co_await finish_statement());
    co_return Status{};
}

Task<Result<Rows>> Connection::query(
    std::string sql, std::vector<Parameter> parameters, ResultForm form
) {
    if (abandoned_) {
        co_return lost();
    }
    if (replication_) {
        QIAO_ASSERT(parameters.empty());
        QIAO_CO_CHECK(sent(PQsendQuery(connection_.get(), sql.c_str())));
        co_return co_await finish_statement();
    }
    const Bound bound(parameters);
    const int ok = PQsendQueryParams(
        connection_.get(),
        sql.c_str(),
        bound.count(),
        bound.types.data(),
        bound.values.data(),
        bound.lengths.data(),
        bound.formats.data(),
        static_cast<int>(form)
    );
    QIAO_CO_CHECK(sent(ok));
    co_return co_await finish_statement();
}

Task<Result<Rows>> Connection::query_prepared(
    std::string_view sql, std::vector<Parameter> parameters
) {
    if (abandoned_) {
        co_return lost();
    }
    const Bound bound(parameters);
    auto known = prepared_.find(sql);
    if (known == prepared_.end()) {
        const std::string text(sql);
        auto name = fmt::format("qiao_said_{}", prepared_.size());
        QIAO_CO_CHECK(sent(PQsendPrepare(
            connection_.get(), name.c_str(), text.c_str(), bound.count(), bound.types.data()
        )));
        QIAO_CO_TRY(const auto done, co_await finish_statement());
        known = prepared_.emplace(text, std::move(name)).first;
    }
    const int ok = PQsendQueryPrepared(
        connection_.get(),
        known->second.c_str(),
        bound.count(),
        bound.values.data(),
        bound.lengths.data(),
        bound.formats.data(),
        static_cast<int>(ResultForm::Text)
    );
    QIAO_CO_CHECK(sent(ok));
    co_return co_await finish_statement();
}

Task<Status> Connection::begin_copy_in(std::string sql) { return begin_copy_out(std::move(sql)); }

Task<Status> Connection::begin_copy_out(std::string sql) {
    QIAO_CO_CHECK(sent(abandoned_ ? 0 : PQsendQuery(connection_.get(), sql.c_str())));
    QIAO_CO_TRY(auto* const raw, co_await next_result());
    const OwnedResult result(raw);
    if (result && is_copy(result.get())) {
        co_return Status{};
    }
    const auto failure = !result                ? lost()
                         : failed(result.get()) ? error_of(result.get())
                                                : Error(ErrorCode::DbStatement, "no COPY began");
    while (true) {
        QIAO_CO_TRY(auto* const more, co_await next_result());
        if (more == nullptr) {
            break;
        }
        PQclear(more);
    }
    co_return failure;
}

Task<Status> Connection::copy_in(ByteView bytes) {
    while (true) {
        const auto size = static_cast<int>(bytes.size());
        const auto* data = reinterpret_cast<const char*>(bytes.data());
        const int taken = abandoned_ ? -1 : PQputCopyData(connection_.get(), data, size);
        if (taken < 0) {
            // The server has ended the COPY, or the connection: its result has the reason.
            if (!alive()) {
                co_return lost();
            }
            const auto ended = co_await finish_statement();
            co_return ended ? Error(ErrorCode::DbStatement, "COPY ended early") : ended.error();
        }
        QIAO_CO_CHECK(co_await flush());
        if (taken > 0) {
            co_return Status{};
        }
    }
}

Task<Result<uint64_t>> Connection::end_copy_in() {
    while (true) {
        const int taken = abandoned_ ? -1 : PQputCopyEnd(connection_.get(), nullptr);
        if (taken < 0 && !alive()) {
            co_return lost();
        }
        QIAO_CO_CHECK(co_await flush());
        if (taken != 0) {
            break;
        }
    }
    QIAO_CO_TRY(const auto rows, co_await finish_statement());
    co_return rows.affected();
}

Task<Result<std::optional<ByteView>>> Connection::copy_out() {
    while (true) {
        bool ended = false;
        QIAO_CO_TRY(const auto row, try_copy_out(ended));
        if (row) {
            co_return row;
        }
        if (ended) {
            QIAO_CO_CHECK(co_await end_copy_out());
            co_return std::optional<ByteView>();
        }
        QIAO_CO_CHECK(co_await wait(Poller::Interest::Read));
        if (PQconsumeInput(connection_.get()) == 0) {
            co_return lost();
        }
    }
}

Result<std::optional<ByteView>> Connection::try_copy_out(bool& ended) {
    free_copy_row();
    ended = false;
    if (abandoned_) {
        return lost();
    }
    int size = PQgetCopyData(connection_.get(), &copy_row_, 1);
    if (size == 0) {
        // More may have come since the last wake-up.
        if (PQconsumeInput(connection_.get()) == 0) {
            return lost();
        }
        size = PQgetCopyData(connection_.get(), &copy_row_, 1);
    }
    if (size > 0) {
        return ByteView(reinterpret_cast<const std::byte*>(copy_row_), static_cast<size_t>(size));
    }
    if (size == kCopyFailed) {
        return lost();
    }
    ended = size == kNoMoreRows;
    return std::optional<ByteView>();
}

Task<Status> Connection::end_copy_out() {
    if (replication_) {
        // The server ended its half of copy-both; ours ends too. After an error it has already.
        PQputCopyEnd(connection_.get(), nullptr);
    }
    QIAO_CO_TRY(const auto rows, co_await finish_statement());
    co_return Status{};
}

Task<Status> Connection::wait_readable(Deadline deadline, StopSignal& stop) {
    QIAO_CO_CHECK(co_await watch_->wait(Poller::Interest::Read, deadline, stop));
    if (PQconsumeInput(connection_.get()) == 0) {
        co_return lost();
    }
    co_return Status{};
}

Task<Status> Connection::put_copy_both(ByteView bytes) {
    const auto* data = reinterpret_cast<const char*>(bytes.data());
    if (abandoned_ || PQputCopyData(connection_.get(), data, static_cast<int>(bytes.size())) < 0) {
        co_return lost();
    }
    co_return co_await flush();
}

std::function<void()> Connection::cancel_request() const {
    const std::shared_ptr<PGcancel> request(PQgetCancel(connection_.get()), &PQfreeCancel);
    return [request] {
        std::array<char, 256> why{};
        if (request) {
            PQcancel(request.get(), why.data(), static_cast<int>(why.size()));
        }
    };
}

void Connection::cancel() {
    runtime_.executor.run_blocking(cancel_request(), [] {});
}

Task<void> Connection::cancel_and_wait() {
    Event told(runtime_.executor);
    const auto done = [&told] { told.set(); };
    runtime_.executor.run_blocking(cancel_request(), done);
    co_await told.wait();
}

}  // namespace qiao::drivers::postgres
