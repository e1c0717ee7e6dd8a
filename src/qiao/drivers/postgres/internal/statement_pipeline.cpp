#include "qiao/drivers/postgres/internal/statement_pipeline.h"

#include "qiao/drivers/postgres/sqlstate.h"

#include <libpq-fe.h>

namespace qiao::drivers::postgres::internal {
namespace {

/// What libpq may hold before we wait until the server has taken it.
constexpr size_t kMostWaiting = size_t{256} << 10U;

/// What libpq wants of parameters, in its own shape.
struct Bound {
    explicit Bound(const std::vector<StatementPipeline::Value>& parameters) {
        texts.reserve(parameters.size());
        for (const auto& value : parameters) {
            types.push_back(value.type);
            values.push_back(value.null ? nullptr : address_of(value));
            lengths.push_back(static_cast<int>(value.bytes.size()));
            formats.push_back(value.binary ? 1 : 0);
        }
    }

    int count() const { return static_cast<int>(types.size()); }

    const char* address_of(const StatementPipeline::Value& value) {
        static constexpr char kEmpty[] = "";
        if (!value.binary) {
            return texts.emplace_back(as_text(value.bytes)).c_str();
        }
        return value.bytes.empty() ? kEmpty : reinterpret_cast<const char*>(value.bytes.data());
    }

    std::vector<std::string> texts;  ///< libpq wants a zero behind text
    std::vector<Oid> types;
    std::vector<const char*> values;
    std::vector<int> lengths;
    std::vector<int> formats;
};

struct Clear {
    void operator()(pg_result* result) const { PQclear(result); }
};

using OwnedResult = std::unique_ptr<pg_result, Clear>;

}  // namespace

StatementPipeline::Value StatementPipeline::Value::of(const Parameter& parameter) {
    return {parameter.type, parameter.null, parameter.binary, parameter.bytes};
}

std::vector<StatementPipeline::Value> StatementPipeline::Value::of(
    const std::vector<Parameter>& parameters
) {
    std::vector<Value> values;
    for (const auto& parameter : parameters) {
        values.push_back(of(parameter));
    }
    return values;
}

Status StatementPipeline::enter() {
    if (std::exchange(entered_, true)) {
        return {};
    }
    if (!connection_.alive() || PQenterPipelineMode(connection_.raw()) == 0) {
        return error_of(connection_.raw(), false);
    }
    return {};
}

Task<Status> StatementPipeline::make_room(size_t bytes) {
    bytes_waiting_ += bytes;
    if (bytes_waiting_ > kMostWaiting) {
        bytes_waiting_ = 0;
        co_return co_await connection_.flush();
    }
    co_return Status{};
}

Status StatementPipeline::prepare(
    const std::string& id, const std::string& sql, const std::vector<Value>& values
) {
    auto* const raw = connection_.raw();
    const Bound bound(values);
    const auto name = cache_.next_name();
    if (PQsendPrepare(raw, name.c_str(), sql.c_str(), bound.count(), bound.types.data()) == 0) {
        return error_of(raw, false);
    }
    sent_.push_back({Kind::Prepare, id});
    if (const auto old = cache_.keep(id, name)) {
        const auto drop = "DEALLOCATE " + *old;
        if (PQsendQueryParams(raw, drop.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0) == 0) {
            return error_of(raw, false);
        }
        sent_.push_back({Kind::Deallocate});
    }
    return {};
}

Task<Status> StatementPipeline::add(std::string id, std::string sql, std::vector<Value> values) {
    QIAO_CO_CHECK(enter());
    if (cache_.find(id) == nullptr) {
        QIAO_CO_CHECK(prepare(id, sql, values));
    }
    auto* const raw = connection_.raw();
    const Bound bound(values);
    const int ok = PQsendQueryPrepared(
        raw,
        cache_.find(id)->c_str(),
        bound.count(),
        bound.values.data(),
        bound.lengths.data(),
        bound.formats.data(),
        0
    );
    if (ok == 0) {
        co_return error_of(raw, false);
    }
    sent_.push_back({Kind::Statement});
    ++added_;
    size_t bytes = 0;
    for (const auto& value : values) {
        bytes += value.bytes.size();
    }
    co_return co_await make_room(bytes);
}

Task<Status> StatementPipeline::add(std::string sql) {
    QIAO_CO_CHECK(enter());
    auto* const raw = connection_.raw();
    if (PQsendQueryParams(raw, sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0) == 0) {
        co_return error_of(raw, false);
    }
    sent_.push_back({Kind::Statement});
    ++added_;
    co_return Status{};
}

Task<Result<pg_result*>> StatementPipeline::next() {
    QIAO_CO_CHECK(co_await connection_.wait_result());
    co_return PQgetResult(connection_.raw());
}

Task<Result<StatementPipeline::Outcome>> StatementPipeline::finish() {
    Outcome outcome;
    if (!entered_) {
        co_return outcome;
    }
    auto* const raw = connection_.raw();
    if (PQpipelineSync(raw) == 0) {
        co_return error_of(raw, false);
    }
    for (; !sent_.empty(); sent_.pop_front()) {
        QIAO_CO_TRY(auto* const result, co_await next());
        if (result == nullptr) {
            co_return error_of(raw, false);
        }
        if (PQresultStatus(result) == PGRES_FATAL_ERROR && PQstatus(raw) == CONNECTION_BAD) {
            const OwnedResult owned(result);
            co_return error_of(result);
        }
        take(result, sent_.front(), outcome);
        QIAO_CO_TRY(auto* const end, co_await next());
        if (end != nullptr) {
            PQclear(end);
            co_return error_of(raw, false);
        }
    }
    QIAO_CO_TRY(auto* const sync, co_await next());
    const OwnedResult owned(sync);
    if (PQresultStatus(sync) != PGRES_PIPELINE_SYNC || PQexitPipelineMode(raw) == 0) {
        co_return error_of(raw, false);
    }
    entered_ = false;
    co_return outcome;
}

/// Takes the result over.
void StatementPipeline::take(pg_result* result, const Sent& sent, Outcome& outcome) {
    const auto status = PQresultStatus(result);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
        Rows rows(result);
        if (sent.kind == Kind::Statement) {
            outcome.results.push_back(std::move(rows));
        }
        return;
    }
    const OwnedResult owned(result);
    if (sent.kind == Kind::Prepare) {
        cache_.forget(sent.id);
    }
    if (!outcome.failure && status != PGRES_PIPELINE_ABORTED) {
        outcome.failure = error_of(result);
    }
}

}  // namespace qiao::drivers::postgres::internal
