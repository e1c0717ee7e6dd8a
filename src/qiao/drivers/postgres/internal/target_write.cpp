#include "qiao/drivers/postgres/internal/mapped_write.h"
#include "qiao/drivers/postgres/internal/postgres_target_session.h"

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
void tell_existing_row(const std::string& primary_key, Result<WriteResult>& result) {
    if (primary_key.empty() || !result || !result->failure) {
        return;
    }
    auto& error = result->failure->error;
    const auto state = fmt::format("constraint {}, SQLSTATE 23505", primary_key);
    if (error.is(ErrorCode::DbConstraint) && error.detail().ends_with(state)) {
        error = Error(ErrorCode::ApplyExistingRow, error.detail());
    }
}

}  // namespace

Task<Result<WriteResult>> PostgresTargetSession::write(TableWrite write, WriteMode mode) {
    QIAO_ASSERT(write.schema != nullptr && write.target != nullptr);
    if (write.changes.empty()) {
        co_return WriteResult{};
    }
    const auto known = co_await relation(write.target->name);
    if (!known) {
        co_return outcome_of(known.error());
    }
    const auto plan = make_plan(*write.schema, **known, write.op);
    if (!plan) {
        co_return failure_at(std::nullopt, plan.error());
    }
    deferred_ = deferred_ || (*known)->deferrable;
    std::vector<RowStatement> rows;
    rows.reserve(write.changes.size());
    for (const auto* change : write.changes) {
        auto row = make_row_statement(*plan, *change, write.op, write.checks_old_rows);
        if (!row) {
            co_return failure_at(rows.size(), std::move(row).error());
        }
        rows.push_back(*std::move(row));
    }
    const bool as_set = mode == WriteMode::SetBased && rows.size() >= kFewRows &&
                        (write.op == model::Op::Insert || !plan->whole_row()) &&
                        of_one_pattern(rows);
    std::string primary_key;
    if (const auto* key = (*known)->catalogue.primary_key(); write.op == model::Op::Insert && key) {
        primary_key = key->index;
    }
    Result<WriteResult> result = WriteResult{};
    const bool mapped =
        write.op == model::Op::Insert
            ? can_map(*plan, {}) && journal_.lease(plan->relation->catalogue.oid) != nullptr
            : plan->whole_row() && can_map(*plan, rows);
    if (mapped) {
        result = co_await write_mapped(*plan, std::move(rows), as_set);
    } else if (as_set) {
        result = co_await write_set(*plan, std::move(rows));
    } else {
        result = co_await write_rows(*plan, std::move(rows));
    }
    tell_existing_row(primary_key, result);
    co_return result;
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
    if (rows.front().op == model::Op::Insert && copy_possible(*plan.relation)) {
        const auto form = copy_form(rows);
        if (form != CopyForm::None && !rows.front().parameters.empty()) {
            co_return co_await copy_set(plan, rows, form);
        }
    }
    co_return co_await unnest_set(plan, rows);
}

Task<Status> PostgresTargetSession::send_copy(
    const WritePlan& plan, const std::vector<RowStatement>& rows, CopyForm form
) {
    QIAO_CO_CHECK(co_await connection_->begin_copy_in(copy_sql(plan, rows.front(), form)));
    Bytes buffer;
    if (form == CopyForm::Binary) {
        buffer = to_bytes(binary_copy_head());
    }
    for (const auto& row : rows) {
        append_copy_row(buffer, row, form);
        if (buffer.size() >= kCopyBufferBytes) {
            QIAO_CO_CHECK(co_await connection_->copy_in(buffer));
            buffer.clear();
        }
    }
    if (form == CopyForm::Binary) {
        const auto tail = binary_copy_tail();
        buffer.insert(buffer.end(), tail.begin(), tail.end());
    }
    QIAO_CO_CHECK(co_await connection_->copy_in(buffer));
    QIAO_CO_TRY(const auto written, co_await connection_->end_copy_in());
    (void)written;
    co_return Status{};
}

Task<Result<WriteResult>> PostgresTargetSession::copy_set(
    const WritePlan& plan, const std::vector<RowStatement>& rows, CopyForm form
) {
    const auto done = co_await send_copy(plan, rows, form);
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
