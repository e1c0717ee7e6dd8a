#include "qiao/drivers/postgres/internal/set_write.h"

#include "qiao/drivers/postgres/internal/set_statement.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::drivers::postgres::internal {
namespace {

using model::Op;

/// Below it, prepared statements for each row cost less than a set.
constexpr size_t kFewRows = 8;
/// The server has the array of one statement in memory, more than once.
constexpr size_t kArrayBytes = size_t{256} << 10U;

model::Value value_at(const model::Tuple& row, size_t column) {
    model::Tuple::Cursor cursor(row);
    model::Value value;
    for (size_t i = 0; i <= column && cursor.more(); ++i) {
        value = cursor.next();
    }
    return value;
}

/// The new image names the row as well as the old one.
bool keeps_key(const WritePlan& plan, const model::Change& change) {
    return change.old_image == model::OldImage::Absent ||
           std::ranges::all_of(plan.key, [&](size_t i) {
               const auto before = value_at(change.old_row, plan.columns[i].source);
               const auto after = value_at(change.new_row, plan.columns[i].source);
               return before.kind == after.kind && std::ranges::equal(before.bytes, after.bytes);
           });
}

bool is_of_key(const WritePlan& plan, size_t column) {
    return std::ranges::find(plan.key, column) != plan.key.end();
}

/// One statement can set what the rows bring: something, and no identity that it may not set.
bool can_join(const WritePlan& plan, const RowArray& rows) {
    const auto& brought = rows.brought();
    const bool has_key = std::ranges::all_of(plan.key, [&](size_t i) {
        return std::ranges::find(brought, i) != brought.end();
    });
    return has_key && brought.size() > plan.key.size() &&
           std::ranges::all_of(brought, [&plan](size_t i) {
               return is_of_key(plan, i) || !plan.columns[i].identity_always;
           });
}

std::string insert_sql(const WritePlan& plan, const RowArray& rows) {
    std::string columns;
    std::string values;
    for (const auto i : rows.brought()) {
        const auto& name = plan.columns[i].name;
        columns += (columns.empty() ? "" : ", ") + name;
        values += (values.empty() ? "s." : ", s.") + name;
    }
    const auto table = quote_table(plan.relation->table.name);
    return fmt::format(
        "INSERT INTO {} ({}){} SELECT {} FROM unnest($1::{}[]) AS s",
        table,
        columns,
        plan.overriding ? " OVERRIDING SYSTEM VALUE" : "",
        values,
        table
    );
}

std::string update_sql(const WritePlan& plan, const RowArray& rows) {
    std::string set;
    std::string where;
    for (const auto i : rows.brought()) {
        const auto& name = plan.columns[i].name;
        const auto key = std::ranges::find(plan.key, i);
        if (key == plan.key.end()) {
            set += fmt::format("{}{} = s.{}", set.empty() ? "" : ", ", name, name);
        } else {
            const auto& equals = plan.equals[static_cast<size_t>(key - plan.key.begin())];
            where +=
                fmt::format("{}t.{} {} s.{}", where.empty() ? "" : " AND ", name, equals, name);
        }
    }
    return fmt::format(
        "UPDATE {} AS t SET {} FROM unnest($1::{}[]) AS s WHERE {}",
        plan.relation->only(),
        set,
        quote_table(plan.relation->table.name),
        where
    );
}

/// The statement's text follows from the table, the operation and this.
std::string pattern_of(const WritePlan& plan, const RowArray& rows) {
    auto pattern = "[]" + rows.pattern();
    for (const auto i : plan.key) {
        pattern += fmt::format(" {}", plan.columns[i].target);
    }
    return pattern;
}

}  // namespace

bool SetWrite::takes(const WritePlan& plan, const TableWrite& write) {
    if (write.changes.size() < kFewRows) {
        return false;
    }
    const auto& first = *write.changes.front();
    switch (write.op) {
        case Op::Insert:
            return RowArray(plan, {}).possible();
        case Op::Update: {
            const RowArray rows(plan, first.new_row);
            return !write.checks_old_rows && !plan.whole_row() && rows.possible() &&
                   can_join(plan, rows);
        }
        default:
            return !plan.whole_row();
    }
}

Task<Result<size_t>> SetWrite::add(const WritePlan& plan, TableWrite write) {
    const auto rows = write.op == Op::Delete ? co_await add_deletes(plan, write)
                                             : co_await add_rows(plan, write.op, write.changes);
    ++sets_;
    co_return rows;
}

Task<Result<size_t>> SetWrite::add_rows(const WritePlan& plan, Op op, Changes changes) {
    RowArray rows(plan, op == Op::Update ? changes.front()->new_row : model::Tuple());
    const auto sql = op == Op::Update ? update_sql(plan, rows) : insert_sql(plan, rows);
    const auto id = StatementCache::id(plan.relation->catalogue.oid, op, pattern_of(plan, rows));
    const auto send = [&]() -> Task<Status> {
        sent_.push_back({sets_, rows.rows(), op == Op::Update});
        auto done = co_await pipeline_.add(id, sql, {{.bytes = rows.finish()}});
        rows.clear();
        co_return done;
    };
    size_t taken = 0;
    for (const auto* change : changes) {
        if (!keeps_key(plan, *change) || !rows.append(change->new_row)) {
            break;
        }
        ++taken;
        if (rows.size() >= kArrayBytes) {
            QIAO_CO_CHECK(co_await send());
        }
    }
    if (rows.rows() != 0) {
        QIAO_CO_CHECK(co_await send());
    }
    co_return taken;
}

Task<Result<size_t>> SetWrite::add_deletes(const WritePlan& plan, TableWrite write) {
    std::vector<RowStatement> rows;
    rows.reserve(write.changes.size());
    for (const auto* change : write.changes) {
        auto row = make_row_statement(plan, *change, Op::Delete, write.checks_old_rows);
        if (!row || (!rows.empty() && !same_pattern(*row, rows.front()))) {
            break;
        }
        rows.push_back(*std::move(row));
    }
    size_t taken = 0;
    while (taken < rows.size()) {
        const auto rest = std::span<const RowStatement>(rows).subspan(taken);
        const auto part = rest.first(rows_of_one_set(rest));
        const auto statement = make_set_statement(plan, part);
        if (!statement) {
            break;
        }
        sent_.push_back({sets_, part.size(), true});
        const auto id =
            StatementCache::id(plan.relation->catalogue.oid, Op::Delete, statement->sql);
        const auto values = StatementPipeline::Value::of(statement->parameters);
        QIAO_CO_CHECK(co_await pipeline_.add(id, statement->sql, values));
        taken += part.size();
    }
    co_return taken;
}

Task<Result<SetWrite::Outcome>> SetWrite::finish() {
    QIAO_CO_TRY(auto told, co_await pipeline_.finish());
    Outcome outcome;
    outcome.missed.resize(sets_);
    for (size_t i = 0; i < told.results.size(); ++i) {
        const auto& sent = sent_[i];
        const auto met = std::min<uint64_t>(told.results[i].affected(), sent.rows);
        outcome.missed[sent.set] += sent.may_miss ? sent.rows - met : 0;
    }
    if (told.failure) {
        outcome.missed.resize(sent_[told.results.size()].set + 1);
        outcome.failure = std::move(told.failure);
    }
    co_return outcome;
}

}  // namespace qiao::drivers::postgres::internal
