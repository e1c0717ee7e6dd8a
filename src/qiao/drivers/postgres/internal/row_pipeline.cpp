#include "qiao/drivers/postgres/internal/row_pipeline.h"

#include "qiao/drivers/postgres/sqlstate.h"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <charconv>

namespace qiao::drivers::postgres::internal {
namespace {

/// What libpq may hold before we wait until the server has taken it.
constexpr size_t kMostWaiting = size_t{256} << 10U;

struct Clear {
    void operator()(pg_result* result) const { PQclear(result); }
};

std::string_view field(const pg_result* result, int column) {
    const auto length = static_cast<size_t>(PQgetlength(result, 0, column));
    return {PQgetvalue(result, 0, column), length};
}

}  // namespace

uint64_t read_big_endian(std::string_view bytes) {
    uint64_t value = 0;
    for (const char byte : bytes) {
        value = value << 8U | static_cast<uint8_t>(byte);
    }
    return value;
}

PlacedRow read_placed_row(std::string_view leaf, std::string_view spot, std::string_view digest) {
    constexpr size_t kBlockBytes = 4;
    PlacedRow row;
    row.place.leaf = static_cast<uint32_t>(read_big_endian(leaf));
    row.place.block = static_cast<uint32_t>(read_big_endian(spot.substr(0, kBlockBytes)));
    row.place.line = static_cast<uint16_t>(read_big_endian(spot.substr(kBlockBytes)));
    row.digest = read_big_endian(digest);
    return row;
}

const std::string* StatementCache::find(const std::string& id) {
    const auto found = by_id_.find(id);
    if (found == by_id_.end()) {
        return nullptr;
    }
    by_use_.splice(by_use_.begin(), by_use_, found->second);
    return &found->second->name;
}

std::string StatementCache::next_name() { return fmt::format("qiao_{}", ++named_); }

std::optional<std::string> StatementCache::keep(std::string id, std::string name) {
    by_use_.push_front({id, std::move(name)});
    by_id_[std::move(id)] = by_use_.begin();
    if (!orphans_.empty()) {
        auto orphan = std::move(orphans_.back());
        orphans_.pop_back();
        return orphan;
    }
    if (by_use_.size() <= kMost) {
        return std::nullopt;
    }
    auto last = std::move(by_use_.back());
    by_use_.pop_back();
    by_id_.erase(last.id);
    return std::move(last.name);
}

void StatementCache::forget(const std::string& id) {
    if (const auto found = by_id_.find(id); found != by_id_.end()) {
        by_use_.erase(found->second);
        by_id_.erase(found);
    }
}

void StatementCache::forget_table(uint32_t oid) {
    const auto prefix = fmt::format("{}:", oid);
    for (auto entry = by_use_.begin(); entry != by_use_.end();) {
        if (entry->id.starts_with(prefix)) {
            orphans_.push_back(std::move(entry->name));
            by_id_.erase(entry->id);
            entry = by_use_.erase(entry);
        } else {
            ++entry;
        }
    }
}

std::string StatementCache::id(uint32_t table_oid, model::Op op, const std::string& pattern) {
    return fmt::format("{}:{}:{}", table_oid, static_cast<int>(op), pattern);
}

Task<Result<WriteResult>> RowPipeline::run(
    const WritePlan& plan, const std::vector<RowStatement>& rows
) {
    auto* const raw = connection_.raw();
    told_.assign(plan.tells_places ? rows.size() : 0, std::nullopt);
    if (!connection_.alive() || PQenterPipelineMode(raw) == 0) {
        co_return error_of(raw, false);
    }
    for (size_t i = 0; i < rows.size(); ++i) {
        QIAO_CO_CHECK(send_all_of(plan, rows[i], i));
        if (bytes_waiting_ > kMostWaiting) {
            QIAO_CO_CHECK(co_await connection_.flush());
            bytes_waiting_ = 0;
        }
    }
    if (PQpipelineSync(raw) == 0) {
        co_return error_of(raw, false);
    }
    auto result = co_await collect(rows.front().op);
    if (result && PQexitPipelineMode(raw) == 0) {
        co_return error_of(raw, false);
    }
    co_return result;
}

Status RowPipeline::send_all_of(const WritePlan& plan, const RowStatement& row, size_t index) {
    const auto id = StatementCache::id(
        plan.relation->catalogue.oid, row.op, (plan.tells_places ? "@" : "") + pattern_of(row)
    );
    if (cache_.find(id) == nullptr) {
        QIAO_CHECK(prepare(plan, row, id));
    }
    QIAO_CHECK(execute(plan, row, *cache_.find(id)));
    sent_.push_back({Kind::Row, index, {}});
    return {};
}

Status RowPipeline::prepare(const WritePlan& plan, const RowStatement& row, const std::string& id) {
    std::vector<Oid> types;
    for (const auto& parameter : row.parameters) {
        types.push_back(parameter.column->oid);
    }
    const auto name = cache_.next_name();
    const auto sql = row_sql(plan, row);
    const int ok = PQsendPrepare(
        connection_.raw(), name.c_str(), sql.c_str(), static_cast<int>(types.size()), types.data()
    );
    if (ok == 0) {
        return error_of(connection_.raw(), false);
    }
    sent_.push_back({Kind::Prepare, 0, id});
    if (const auto old = cache_.keep(id, name)) {
        const auto drop = "DEALLOCATE " + *old;
        if (PQsendQueryParams(
                connection_.raw(), drop.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0
            ) == 0) {
            return error_of(connection_.raw(), false);
        }
        sent_.push_back({Kind::Deallocate, 0, {}});
    }
    return {};
}

Status RowPipeline::execute(
    const WritePlan& plan, const RowStatement& row, const std::string& name
) {
    const auto count = row.parameters.size();
    std::vector<const char*> values(count);
    std::vector<int> lengths(count);
    std::vector<int> formats(count);
    // libpq wants text with a zero at its end; the bytes of a packet have none.
    std::vector<std::string> texts;
    texts.reserve(count);
    for (size_t i = 0; i < count; ++i) {
        const auto& parameter = row.parameters[i];
        lengths[i] = static_cast<int>(parameter.bytes.size());
        formats[i] = parameter.form == Form::Binary ? 1 : 0;
        bytes_waiting_ += parameter.bytes.size() + 8;
        if (parameter.form == Form::Null) {
            continue;
        }
        if (parameter.form == Form::Text && parameter.column->text_is_binary) {
            formats[i] = 1;
        }
        if (formats[i] == 0) {
            values[i] = texts.emplace_back(as_text(parameter.bytes)).c_str();
        } else {
            static constexpr char kEmpty[] = "";
            values[i] = parameter.bytes.empty()
                            ? kEmpty
                            : reinterpret_cast<const char*>(parameter.bytes.data());
        }
    }
    const int ok = PQsendQueryPrepared(
        connection_.raw(),
        name.c_str(),
        static_cast<int>(count),
        values.data(),
        lengths.data(),
        formats.data(),
        plan.tells_places ? 1 : 0
    );
    return ok == 0 ? Status(error_of(connection_.raw(), false)) : Status();
}

Task<Result<pg_result*>> RowPipeline::next() {
    QIAO_CO_CHECK(co_await connection_.wait_result());
    co_return PQgetResult(connection_.raw());
}

Task<Result<WriteResult>> RowPipeline::collect(model::Op op) {
    WriteResult outcome;
    while (!sent_.empty()) {
        QIAO_CO_TRY(auto* const raw, co_await next());
        const std::unique_ptr<pg_result, Clear> result(raw);
        if (!result) {
            co_return error_of(connection_.raw(), false);
        }
        if (PQresultStatus(raw) == PGRES_FATAL_ERROR &&
            PQstatus(connection_.raw()) == CONNECTION_BAD) {
            co_return error_of(raw);
        }
        take(raw, sent_.front(), op, outcome);
        sent_.pop_front();
        QIAO_CO_TRY(auto* const end, co_await next());
        if (end != nullptr) {
            PQclear(end);
            co_return error_of(connection_.raw(), false);
        }
    }
    QIAO_CO_TRY(auto* const sync, co_await next());
    const std::unique_ptr<pg_result, Clear> result(sync);
    if (PQresultStatus(sync) != PGRES_PIPELINE_SYNC) {
        co_return error_of(connection_.raw(), false);
    }
    co_return outcome;
}

void RowPipeline::take(pg_result* result, const Sent& sent, model::Op op, WriteResult& outcome) {
    const auto status = PQresultStatus(result);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
        if (sent.kind == Kind::Row && op != model::Op::Insert &&
            std::string_view(PQcmdTuples(result)) == "0") {
            ++outcome.missed;
            outcome.missed_at.push_back(sent.row);
        }
        if (sent.kind == Kind::Row && !told_.empty() && PQntuples(result) == 1) {
            told_[sent.row] = read_placed_row(field(result, 0), field(result, 1), field(result, 2));
        }
        return;
    }
    if (sent.kind == Kind::Prepare) {
        cache_.forget(sent.id);
    }
    if (!outcome.failure && status != PGRES_PIPELINE_ABORTED) {
        const auto index = sent.kind == Kind::Row ? std::optional(sent.row) : std::nullopt;
        outcome.failure = WriteResult::Failure{index, error_of(result)};
    }
}

}  // namespace qiao::drivers::postgres::internal
