#include "qiao/drivers/postgres/internal/mapped_write.h"
#include "qiao/drivers/postgres/internal/postgres_target_session.h"
#include "qiao/drivers/postgres/internal/set_write.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::drivers::postgres::internal {
namespace {

/// Below it, pipelined prepared statements cost less than parsing one statement for all.
constexpr size_t kFewRows = 8;
constexpr size_t kCopyBufferBytes = size_t{128} << 10U;

WriteResult failure_at(std::optional<size_t> index, Error error) {
    WriteResult result;
    result.failure = WriteResult::Failure{index, std::move(error)};
    return result;
}

bool of_one_pattern(const std::vector<RowStatement>& rows) {
    return std::ranges::all_of(rows, [&rows](const RowStatement& row) {
        return same_pattern(row, rows.front());
    });
}

/// COPY neither runs rules nor takes row security or views.
bool copy_possible(const TargetRelation& relation) {
    return !relation.table.rules && !relation.table.row_security &&
           relation.catalogue.kind != RelationKind::View;
}

/// A taken primary key says that the row is there already, which is told apart from other keys.
void tell_existing_row(const WritePlan& plan, model::Op op, Result<WriteResult>& result) {
    const auto* key = plan.relation->catalogue.primary_key();
    if (op != model::Op::Insert || key == nullptr || !result || !result->failure) {
        return;
    }
    auto& error = result->failure->error;
    const auto state = fmt::format("constraint {}, SQLSTATE 23505", key->index);
    if (error.is(ErrorCode::DbConstraint) && error.detail().ends_with(state)) {
        error = Error(ErrorCode::ApplyExistingRow, error.detail());
    }
}

}  // namespace

Task<Result<WritePlan>> PostgresTargetSession::plan_of(const TableWrite& write) {
    QIAO_ASSERT(write.schema != nullptr && write.target != nullptr);
    QIAO_CO_TRY(const auto* const known, co_await relation(write.target->name));
    deferred_ = deferred_ || known->deferrable;
    co_return make_plan(*write.schema, *known, write.op);
}

Task<Result<WriteResult>> PostgresTargetSession::write(TableWrite write, WriteMode mode) {
    if (write.changes.empty()) {
        co_return WriteResult{};
    }
    if (mode == WriteMode::SetBased) {
        const auto once = [&write, left = true]() mutable {
            return std::exchange(left, false) ? std::vector{write} : std::vector<TableWrite>();
        };
        QIAO_CO_TRY(auto results, co_await write_sets(once));
        co_return std::move(results.front());
    }
    const auto plan = co_await plan_of(write);
    if (!plan) {
        co_return outcome_of(plan.error());
    }
    auto result = co_await write_parameters(*plan, write, mode);
    tell_existing_row(*plan, write.op, result);
    co_return result;
}

bool PostgresTargetSession::inserts_into_map(const WritePlan& plan, model::Op op) {
    return op == model::Op::Insert && can_map(plan, {}) &&
           journal_.lease(plan.relation->catalogue.oid) != nullptr;
}

bool PostgresTargetSession::may_send_set(const PlannedSet& set) {
    return SetWrite::takes(*set.plan, set.write) && !inserts_into_map(*set.plan, set.write.op);
}

PostgresTargetSession::PlannedSet* PostgresTargetSession::SetQueue::find(size_t at) {
    while (at == sets.size() && !ended) {
        auto more = next();
        ended = more.empty();
        for (auto& write : more) {
            sets.push_back({write});
        }
    }
    return at < sets.size() ? &sets[at] : nullptr;
}

Task<Result<std::vector<WriteResult>>> PostgresTargetSession::write_sets(NextSets next) {
    std::vector<WriteResult> results;
    SetQueue queue{std::move(next)};
    while (auto* const set = queue.find(results.size())) {
        if (!set->plan) {
            auto plan = co_await plan_of(set->write);
            if (!plan) {
                QIAO_CO_TRY(auto failed, outcome_of(plan.error()));
                results.push_back(std::move(failed));
                break;
            }
            set->plan = *std::move(plan);
        }
        if (may_send_set(*set)) {
            QIAO_CO_CHECK(co_await send_sets(queue, results));
        } else {
            QIAO_CO_TRY(auto result, co_await write_rest(*set, 0));
            results.push_back(std::move(result));
        }
        if (!results.empty() && results.back().failure) {
            break;
        }
    }
    co_return results;
}

Task<Status> PostgresTargetSession::send_sets(SetQueue& queue, std::vector<WriteResult>& results) {
    SetWrite sets(*connection_, statements_);
    size_t rows = 0;
    size_t taken = 0;
    for (auto at = results.size(); rows == taken; ++at) {
        auto* const set = queue.find(at);
        if (set == nullptr) {
            break;
        }
        if (!set->plan) {
            if (!relations_.contains(set->write.target->name)) {
                break;  // to be asked for, with nothing under way
            }
            auto plan = co_await plan_of(set->write);
            if (!plan) {
                break;  // told when those before are done
            }
            set->plan = *std::move(plan);
        }
        if (!may_send_set(*set)) {
            break;
        }
        QIAO_CO_TRY(taken, co_await sets.add(*set->plan, set->write));
        rows = set->write.changes.size();
    }
    QIAO_CO_TRY(auto outcome, co_await sets.finish());
    for (const auto missed : outcome.missed) {
        results.push_back({.missed = missed});
    }
    const auto& last = queue.sets[results.size() - 1];
    if (outcome.failure) {
        Result<WriteResult> failed = failure_at(std::nullopt, *std::move(outcome.failure));
        tell_existing_row(*last.plan, last.write.op, failed);
        results.back() = *std::move(failed);
    } else if (taken < rows) {
        QIAO_CO_TRY(auto rest, co_await write_rest(last, taken));
        results.back().missed += rest.missed;
        results.back().failure = std::move(rest.failure);
    }
    co_return Status{};
}

/// Those that cannot go in a pipeline. Which of a set it was cannot be told.
Task<Result<WriteResult>> PostgresTargetSession::write_rest(const PlannedSet& set, size_t written) {
    auto left = set.write;
    left.changes = left.changes.subspan(written);
    auto result = co_await write_parameters(*set.plan, left, WriteMode::SetBased);
    tell_existing_row(*set.plan, left.op, result);
    if (result && written > 0) {
        result->missed_at.clear();
        if (result->failure) {
            result->failure->index.reset();
        }
    }
    co_return result;
}

Task<Result<WriteResult>> PostgresTargetSession::write_parameters(
    const WritePlan& plan, TableWrite write, WriteMode mode
) {
    std::vector<RowStatement> rows;
    rows.reserve(write.changes.size());
    for (const auto* change : write.changes) {
        auto row = make_row_statement(plan, *change, write.op, write.checks_old_rows);
        if (!row) {
            co_return failure_at(rows.size(), std::move(row).error());
        }
        rows.push_back(*std::move(row));
    }
    const bool as_set = mode == WriteMode::SetBased && rows.size() >= kFewRows &&
                        (write.op == model::Op::Insert || !plan.whole_row()) &&
                        of_one_pattern(rows);
    const bool mapped = write.op == model::Op::Insert ? inserts_into_map(plan, write.op)
                                                      : plan.whole_row() && can_map(plan, rows);
    if (mapped) {
        co_return co_await write_mapped(plan, std::move(rows), as_set);
    }
    if (as_set) {
        co_return co_await write_set(plan, std::move(rows));
    }
    co_return co_await write_rows(plan, std::move(rows));
}

Task<Result<WriteResult>> PostgresTargetSession::write_rows(
    const WritePlan& plan, std::vector<RowStatement> rows
) {
    RowPipeline pipeline(*connection_, statements_);
    co_return co_await pipeline.run(plan, rows);
}

Task<Result<WriteResult>> PostgresTargetSession::write_mapped(
    const WritePlan& plan, std::vector<RowStatement> rows, bool as_set
) {
    MappedWrite mapped(*connection_, statements_, journal_, plan);
    const bool inserts = rows.front().op == model::Op::Insert;
    auto result = inserts ? co_await mapped.insert(std::move(rows), as_set)
                          : co_await mapped.change(std::move(rows));
    co_return result ? std::move(result) : outcome_of(std::move(result).error());
}

Task<Result<WriteResult>> PostgresTargetSession::write_set(
    const WritePlan& plan, std::vector<RowStatement> rows
) {
    const bool by_copy = rows.front().op == model::Op::Insert && copy_possible(*plan.relation) &&
                         !rows.front().parameters.empty() && copies_as_text(rows);
    co_return co_await (by_copy ? copy_set(plan, rows) : unnest_set(plan, rows));
}

Task<Status> PostgresTargetSession::send_copy(
    const WritePlan& plan, const std::vector<RowStatement>& rows
) {
    QIAO_CO_CHECK(co_await connection_->begin_copy_in(copy_text_sql(plan, rows.front())));
    Bytes buffer;
    for (const auto& row : rows) {
        append_text_row(buffer, row);
        if (buffer.size() >= kCopyBufferBytes) {
            QIAO_CO_CHECK(co_await connection_->copy_in(buffer));
            buffer.clear();
        }
    }
    QIAO_CO_CHECK(co_await connection_->copy_in(buffer));
    QIAO_CO_TRY(const auto written, co_await connection_->end_copy_in());
    (void)written;
    co_return Status{};
}

Task<Result<WriteResult>> PostgresTargetSession::copy_set(
    const WritePlan& plan, const std::vector<RowStatement>& rows
) {
    const auto done = co_await send_copy(plan, rows);
    co_return done ? Result<WriteResult>(WriteResult{}) : outcome_of(done.error());
}

Task<Result<WriteResult>> PostgresTargetSession::unnest_set(
    const WritePlan& plan, const std::vector<RowStatement>& rows
) {
    const std::span<const RowStatement> all(rows);
    WriteResult result;
    for (size_t first = 0; first < rows.size();) {
        const auto end = first + rows_of_one_set(all.subspan(first));
        const auto part = all.subspan(first, end - first);
        auto statement = make_set_statement(plan, part);
        if (!statement) {
            RowPipeline pipeline(*connection_, statements_);
            const std::vector<RowStatement> single(part.begin(), part.end());
            QIAO_CO_TRY(auto each, co_await pipeline.run(plan, single));
            result.missed += each.missed;
            if (each.failure) {
                if (each.failure->index) {
                    *each.failure->index += first;
                }
                result.failure = std::move(each.failure);
                co_return result;
            }
        } else {
            const auto done = co_await connection_->query(
                std::move(statement->sql), std::move(statement->parameters)
            );
            if (!done) {
                co_return outcome_of(done.error());
            }
            const auto met = std::min<uint64_t>(done->affected(), part.size());
            result.missed += rows.front().op == model::Op::Insert ? 0 : part.size() - met;
        }
        first = end;
    }
    co_return result;
}

}  // namespace qiao::drivers::postgres::internal
