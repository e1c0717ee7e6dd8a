#include "qiao/drivers/postgres/internal/postgres_target_session.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::drivers::postgres::internal {

bool PostgresTargetSession::accepts(LoadFormat format) const {
    return format == LoadFormat::PgCopyBinary || format == LoadFormat::PgCopyText;
}

Task<Status> PostgresTargetSession::begin_copy(model::TableSchema schema, LoadFormat format) {
    QIAO_ASSERT(accepts(format));
    QIAO_CO_TRY(const auto* const known, co_await relation(schema.table));
    QIAO_CO_TRY(const auto plan, make_plan(schema, *known, model::Op::Insert));
    std::string list;
    size_t wanted = 0;
    for (const auto& column : schema.columns) {
        wanted += column.generated ? 0 : 1;
    }
    for (const auto& column : plan.columns) {
        if (format == LoadFormat::PgCopyBinary && !column.same_type &&
            !(column.source_text_is_binary && column.text_is_binary)) {
            co_return Error(
                ErrorCode::DbValue,
                fmt::format("column {}: sent in a binary form that differs here", column.display)
            );
        }
        list += (list.empty() ? "" : ", ") + column.name;
    }
    if (plan.columns.size() != wanted) {
        co_return Error(
            ErrorCode::ApplyColumns,
            fmt::format(
                "{}: a column that the source has is generated here", schema.table.to_string()
            )
        );
    }
    deferred_ = deferred_ || known->deferrable;
    // A load is long and its rows seldom change soon: a map is made anew when they do.
    journal_.maps().drop(known->catalogue.oid);
    const bool binary = format == LoadFormat::PgCopyBinary;
    // A table may have no column, and rows all the same; an empty list is no SQL.
    const auto sql = fmt::format(
        "COPY {}{} FROM STDIN (FORMAT {})",
        quote_table(known->table.name),
        list.empty() ? "" : " (" + list + ")",
        binary ? "binary" : "text"
    );
    // A load takes as long as its source needs.
    QIAO_CO_CHECK(co_await connection_->execute("SET LOCAL statement_timeout = 0"));
    QIAO_CO_CHECK(co_await connection_->begin_copy_in(sql));
    copying_ = format;
    co_return binary ? co_await connection_->copy_in(binary_copy_head()) : Status{};
}

Task<Status> PostgresTargetSession::copy(ByteView rows) { return connection_->copy_in(rows); }

Task<Result<uint64_t>> PostgresTargetSession::end_copy() {
    if (std::exchange(copying_, std::nullopt) == LoadFormat::PgCopyBinary) {
        QIAO_CO_CHECK(co_await connection_->copy_in(binary_copy_tail()));
    }
    co_return co_await connection_->end_copy_in();
}

}  // namespace qiao::drivers::postgres::internal
