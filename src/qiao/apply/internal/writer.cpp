#include "qiao/apply/internal/writer.h"

#include "qiao/apply/key.h"
#include "qiao/common/assert.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::apply {

using drivers::WriteMode;
using model::Change;
using model::Op;

namespace {

/// Careful runs are short: each finding writes the rows before it in its run once more.
constexpr size_t kCarefulRunMax = 64;

Error missed_error(const Change& change, bool by_old_row) {
    if (by_old_row && change.old_image == model::OldImage::Full) {
        return Error(ErrorCode::ApplyForeignChange);
    }
    const bool incomplete = change.op == Op::Update && leaves_out_columns(change.new_row);
    return Error(incomplete ? ErrorCode::ApplyIncompleteRow : ErrorCode::ApplyMissingRow);
}

/// A repair of a table without a key was found beside the errors that wait: behind them it would
/// come twice.
bool is_void(const Work& work, const Writer::Place& place) {
    return !work.parked && work.table->key.empty() && place.head->is_repair();
}

}  // namespace

Cure cure_of(const Error& error) {
    switch (error.code()) {
        case ErrorCode::ApplyFenced:
        case ErrorCode::ApplyErrorsFull:
        case ErrorCode::ApplyOtherHistory:
        case ErrorCode::ApplyUnknownSchema:
        case ErrorCode::ApplyRewind:
        case ErrorCode::ApplyLoadVoid:
        case ErrorCode::Cancelled:
            return Cure::Never;
        default:
            break;
    }
    switch (error.info().error_class) {
        case ErrorClass::Transient:
            return Cure::Retry;
        case ErrorClass::Environment:
            return Cure::Mend;
        case ErrorClass::Data:
            return Cure::Policy;
        case ErrorClass::Security:
        case ErrorClass::Usage:
            return Cure::Never;
    }
    return Cure::Never;
}

bool is_lost(const Error& error) {
    return error.is(ErrorCode::DbLost) || error.is(ErrorCode::NetworkClosed) ||
           error.is(ErrorCode::DbConnect) || error.is(ErrorCode::DeadlinePassed);
}

Error named(const Error& error, const Work& work) {
    const auto keys = ErrorChains::keys_of(*work.table, *work.change);
    return error.within(fmt::format("{} [{}]", work.table->schema->table.to_string(), keys.front())
    );
}

/// Leaves the transaction usable whatever happens, but for a lost connection.
Task<Status> Writer::truncate(const Step& step) {
    if (step.truncated.empty()) {
        co_return Status{};
    }
    std::vector<model::TableName> names;
    for (const auto* table : step.truncated) {
        names.push_back(table->written->table);
    }
    QIAO_CO_CHECK(co_await session_.savepoint());
    auto done = co_await session_.truncate(names, step.restart_identity);
    if (!done && cure_of(done.error()) != Cure::Retry) {
        // Never cascading: others refer to these tables, so their rows go one by one. Rules 23
        QIAO_CO_CHECK(co_await session_.rollback_to_savepoint());
        done = co_await delete_all(step.truncated);
    }
    if (!done) {
        if (is_lost(done.error())) {
            co_return done.error();
        }
        QIAO_CO_CHECK(co_await session_.rollback_to_savepoint());
    }
    QIAO_CO_CHECK(co_await session_.release_savepoint());
    co_return done;
}

/// Tables that refer to others before those that are only referred to.
Task<Status> Writer::delete_all(std::vector<const BoundTable*> tables) {
    const auto rank = [](const BoundTable* table) {
        return !table->target.foreign_keys_in ? 0 : table->target.foreign_keys_out ? 1 : 2;
    };
    std::ranges::sort(tables, {}, rank);
    for (const auto* table : tables) {
        QIAO_CO_CHECK(co_await session_.delete_all(table->written->table));
    }
    co_return Status{};
}

Task<Result<std::optional<Writer::Finding>>> Writer::upsert(const Step& step) {
    drivers::TableWrite write{
        step.table->written.get(), &step.table->target, Op::Update, step.changes
    };
    QIAO_CO_TRY(const auto updated, co_await session_.write(write, WriteMode::RowByRow));
    if (updated.failure) {
        co_return Finding{updated.failure->index, updated.failure->error};
    }
    std::vector<Change> inserts;
    for (const auto index : updated.missed_at) {
        inserts.push_back(*step.changes[index]);
        inserts.back().op = Op::Insert;
    }
    if (inserts.empty()) {
        co_return std::nullopt;
    }
    std::vector<const Change*> pointers;
    for (const auto& insert : inserts) {
        pointers.push_back(&insert);
    }
    write.op = Op::Insert;
    write.changes = pointers;
    QIAO_CO_TRY(const auto inserted, co_await session_.write(write, WriteMode::RowByRow));
    if (inserted.failure) {
        auto index = inserted.failure->index;
        if (index) {
            index = updated.missed_at[*index];
        }
        co_return Finding{index, inserted.failure->error};
    }
    co_return std::nullopt;
}

Task<Result<std::optional<Writer::Finding>>> Writer::run(const Step& step) {
    if (step.kind == Step::Kind::Truncate) {
        const auto done = co_await truncate(step);
        if (done) {
            co_return std::nullopt;
        }
        if (is_lost(done.error())) {
            co_return done.error();
        }
        co_return Finding{std::nullopt, done.error()};
    }
    if (!can_name(step)) {
        co_return Finding{0, Error(ErrorCode::ApplyNoKey, step.table->schema->table.to_string())};
    }
    if (step.kind == Step::Kind::Upsert) {
        co_return co_await upsert(step);
    }
    const auto mode = step.as_set ? WriteMode::SetBased : WriteMode::RowByRow;
    QIAO_CO_TRY(const auto result, co_await session_.write(as_write(step), mode));
    co_return finding_of(step, result);
}

/// A whole old row names itself: the session meets one of those that are equal to it.
bool Writer::can_name(const Step& step) {
    return step.op == Op::Insert || step.table->has_key ||
           step.table->schema->identity == model::Identity::Full;
}

drivers::TableWrite Writer::as_write(const Step& step) const {
    return {
        step.table->written.get(),
        &step.table->target,
        step.op,
        step.changes,
        options_.report_foreign_changes && !step.may_miss && step.table->has_key
    };
}

std::optional<Writer::Finding> Writer::finding_of(
    const Step& step, const drivers::WriteResult& result
) const {
    std::optional<Finding> finding;
    if (result.failure) {
        finding = Finding{result.failure->index, result.failure->error};
    }
    if (result.missed > 0 && !step.may_miss) {
        if (result.missed_at.empty()) {
            if (!finding) {
                finding = Finding{std::nullopt, Error(ErrorCode::ApplyMissingRow)};
            }
        } else if (!finding || !finding->index || result.missed_at.front() < *finding->index) {
            const auto first = result.missed_at.front();
            const bool by_old_row = as_write(step).checks_old_rows;
            finding = Finding{first, missed_error(*step.changes[first], by_old_row)};
        }
    }
    return finding;
}

/// How many steps from the front are sets that the target may take in one go.
size_t Writer::sets_ahead(std::span<const Step> steps) {
    const auto other = std::ranges::find_if(steps, [](const Step& step) {
        return step.kind != Step::Kind::Rows || !step.as_set || !can_name(step);
    });
    return static_cast<size_t>(other - steps.begin());
}

/// All sets up to the next step that is none.
Task<Status> Writer::run_sets(Slices& slices) {
    std::vector<const Step*> sent;
    const auto next = [&] {
        const auto steps = slices.steps();
        const auto sets = steps.first(sets_ahead(steps));
        slices.pass(sets.size());
        std::vector<drivers::TableWrite> writes;
        for (const auto& step : sets) {
            sent.push_back(&step);
            writes.push_back(as_write(step));
        }
        return writes;
    };
    QIAO_CO_TRY(const auto results, co_await session_.write_sets(next));
    for (size_t i = 0; i < results.size(); ++i) {
        if (const auto finding = finding_of(*sent[i], results[i])) {
            co_return finding->error.within(sent[i]->table->schema->table.to_string());
        }
    }
    co_return Status{};
}

Task<Status> Writer::write(std::vector<Work> works, std::vector<Place> places) {
    QIAO_CO_CHECK(co_await divert_all(works, places));
    rows_ += works.size();
    Slices slices(works, {.fold = options_.fold, .set_rows_min = options_.set_rows_min});
    while (!slices.steps().empty()) {
        if (sets_ahead(slices.steps()) > 0) {
            QIAO_CO_CHECK(co_await run_sets(slices));
            continue;
        }
        const auto& step = slices.steps().front();
        QIAO_CO_TRY(const auto finding, co_await run(step));
        if (finding) {
            co_return finding->error.within(step.table->schema->table.to_string());
        }
        slices.pass(1);
    }
    co_return Status{};
}

bool Writer::diverts(const Work& work) const {
    return work.parked || (!work.of_load && chains_.diverts(*work.table, *work.change));
}

/// Takes out what is laid aside.
Task<Status> Writer::divert_all(std::vector<Work>& works, const std::vector<Place>& places) {
    if (chains_.empty() && std::ranges::none_of(works, &Work::parked)) {
        co_return Status{};
    }
    std::vector<Work> rest;
    for (auto& work : works) {
        if (!diverts(work)) {
            QIAO_CO_CHECK(co_await drop_truncated(work));
            rest.push_back(std::move(work));
            continue;
        }
        if (is_whole_row(work)) {
            // Whether it mends the row is only told by doing it.
            co_return Error(ErrorCode::ApplyDiverted);
        }
        QIAO_CO_CHECK(co_await divert_behind(work, places[work.transaction]));
    }
    works = std::move(rest);
    co_return Status{};
}

Task<Status> Writer::divert_behind(const Work& work, Place place) {
    if (is_void(work, place)) {
        co_return Status{};
    }
    const Error cause(work.parked ? ErrorCode::ApplyParked : ErrorCode::ApplyDiverted);
    co_return co_await divert(work, place, cause);
}

Task<Status> Writer::drop_truncated(const Work& work) {
    for (const auto* table : work.truncated) {
        const auto& name = table->schema->table;
        if (chains_.has_open(name)) {
            QIAO_CO_CHECK(co_await session_.drop_errors(options_.stream, name, ""));
            chains_.remove_all(name);
        }
    }
    co_return Status{};
}

Task<Status> Writer::divert(const Work& work, Place place, Error cause) {
    if (work.change->op != Op::Truncate) {
        co_return co_await lay_aside(*work.table, work, place, std::move(cause));
    }
    // The rows that wait would not outlive it.
    QIAO_CO_CHECK(co_await drop_truncated(work));
    for (const auto* table : work.truncated) {
        QIAO_CO_CHECK(co_await lay_aside(*table, work, place, cause));
    }
    co_return Status{};
}

Task<Status> Writer::lay_aside(
    const BoundTable& table, const Work& work, Place place, Error cause
) {
    QIAO_ASSERT(options_.seal != nullptr);
    const auto& schema = *table.schema;
    drivers::ErrorRow row;
    row.table = schema.table;
    row.keys = ErrorChains::keys_of(table, *work.change);
    row.key_text = row.keys.front();
    row.point = place.point;
    row.position = place.position;
    row.code = cause.info().name;
    row.detail = cause.detail();
    QIAO_CO_TRY(row.sealed_change, options_.seal(*place.head, *work.change));
    QIAO_CO_CHECK(co_await session_.save_error(options_.stream, row));
    chains_.add(schema.table, row.keys);
    row.sealed_change = {};
    laid_aside_.push_back(std::move(row));
    if (chains_.size() > options_.open_errors_max) {
        co_return Error(ErrorCode::ApplyErrorsFull, schema.table.to_string());
    }
    co_return Status{};
}

size_t Writer::run_length(const std::vector<Work>& works, size_t from) const {
    const auto& first = works[from];
    if (first.change->tolerant || first.change->op == Op::Truncate) {
        return 1;
    }
    size_t length = 1;
    while (from + length < works.size() && length < kCarefulRunMax) {
        const auto& next = works[from + length];
        if (next.table != first.table || next.change->op != first.change->op ||
            next.change->tolerant || diverts(next)) {
            break;
        }
        ++length;
    }
    return length;
}

Task<Result<std::optional<Writer::Finding>>> Writer::try_run(
    const std::vector<Work>& works, size_t from, size_t count
) {
    Plan plan({.fold = false});
    for (size_t i = from; i < from + count; ++i) {
        plan.add(works[i]);
    }
    if (works[from].change->op == Op::Truncate) {
        // Has a savepoint of its own.
        co_return co_await run(plan.finish().front());
    }
    QIAO_CO_TRY(auto finding, co_await try_steps(plan.finish()));
    if (finding && finding->index) {
        finding->index = std::min(*finding->index, count - 1);
    }
    co_return finding;
}

Task<Result<std::optional<Writer::Finding>>> Writer::try_steps(std::span<const Step> steps) {
    QIAO_CO_CHECK(co_await session_.savepoint());
    size_t before = 0;
    for (const auto& step : steps) {
        QIAO_CO_TRY(auto finding, co_await run(step));
        if (finding) {
            if (is_lost(finding->error)) {
                co_return finding->error;
            }
            QIAO_CO_CHECK(co_await session_.rollback_to_savepoint());
            QIAO_CO_CHECK(co_await session_.release_savepoint());
            if (finding->index) {
                finding->index = before + *finding->index;
            }
            co_return finding;
        }
        before += step.changes.size();
    }
    QIAO_CO_CHECK(co_await session_.release_savepoint());
    co_return std::nullopt;
}

Task<Status> Writer::write_carefully(std::vector<Work> works, std::vector<Place> places) {
    size_t from = 0;
    size_t limit = kCarefulRunMax;
    while (from < works.size()) {
        const auto& work = works[from];
        const auto& place = places[work.transaction];
        if (const auto whole = whole_rows(works, from); whole != 0) {
            QIAO_CO_CHECK(co_await put_whole_rows(works, from, whole, place));
            from += whole;
            limit = kCarefulRunMax;
            continue;
        }
        if (diverts(work)) {
            QIAO_CO_CHECK(co_await divert_behind(work, place));
            ++from;
            continue;
        }
        const auto count = std::min(limit, run_length(works, from));
        QIAO_CO_TRY(const auto finding, co_await try_run(works, from, count));
        if (!finding) {
            QIAO_CO_CHECK(co_await drop_truncated(work));
            rows_ += count;
            from += count;
            limit = kCarefulRunMax;
            continue;
        }
        if (cure_of(finding->error) != Cure::Policy) {
            co_return named(finding->error, works[from + finding->index.value_or(0)]);
        }
        if (count > 1) {
            // The rows before the culprit go first; not knowing it, half of them.
            limit = std::max<size_t>(finding->index.value_or(count / 2), 1);
            continue;
        }
        ++divergences_;
        limit = kCarefulRunMax;
        if (options_.policy == DivergencePolicy::Stop) {
            co_return named(finding->error, work);
        }
        QIAO_CO_CHECK(co_await divert(work, place, finding->error));
        ++from;
    }
    co_return Status{};
}

}  // namespace qiao::apply
