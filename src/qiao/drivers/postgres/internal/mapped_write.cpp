#include "qiao/drivers/postgres/internal/mapped_write.h"

#include "qiao/drivers/postgres/internal/set_statement.h"

#include <algorithm>
#include <ranges>
#include <unordered_map>

namespace qiao::drivers::postgres::internal {
namespace {

/// Statements of one pipeline; libpq keeps a result for each.
constexpr size_t kMostGathered = 4096;

bool has_places(const TargetRelation& relation) {
    using enum RelationKind;
    return relation.catalogue.kind == Table || relation.catalogue.kind == Partitioned;
}

/// A rule may stand in the way of RETURNING, and a policy may hide the row that was written.
bool returns_rows(const TargetTable& table) { return !table.rules && !table.row_security; }

WritePlan telling_places(WritePlan plan) {
    plan.tells_places = true;
    return plan;
}

}  // namespace

bool can_map(const WritePlan& plan, const std::vector<RowStatement>& rows) {
    const auto whole = [&plan](const RowStatement& row) {
        const auto matched = std::ranges::count(row.parameters, Role::Match, &RowParameter::role);
        return static_cast<size_t>(matched) == plan.columns.size();
    };
    return has_places(*plan.relation) && returns_rows(plan.relation->table) &&
           !plan.columns.empty() && std::ranges::all_of(rows, whole);
}

MappedWrite::MappedWrite(
    Connection& connection, StatementCache& cache, RowJournal& journal, const WritePlan& plan
)
    : connection_(connection),
      cache_(cache),
      journal_(journal),
      plan_(telling_places(plan)),
      reader_(connection, cache, plan_),
      oid_(plan.relation->catalogue.oid),
      shape_(digest_sql(plan, "")) {}

bool MappedWrite::lease() {
    auto table = journal_.lease(oid_);
    if (table && table->shape != shape_) {
        journal_.maps().drop(oid_);
        table.reset();
    }
    table_ = std::move(table);
    return table_ != nullptr;
}

Task<Status> MappedWrite::find_or_build() {
    auto& maps = journal_.maps();
    if (lease() || maps.is_given_up(oid_) || journal_.is_lent_to_other(oid_)) {
        co_return Status{};
    }
    ++maps.counters().builds;
    co_return co_await build();
}

/// From the table as this transaction sees it.
Task<Status> MappedWrite::build() {
    auto& maps = journal_.maps();
    maps.drop(oid_);
    table_.reset();
    auto fresh = std::make_shared<MappedTable>();
    bool fits = true;
    const PlaceReader::Visit visit = [&fresh, &maps, &fits](const PlacedRow& row) {
        constexpr size_t kBetweenLooks = 256;
        fresh->rows.put(row.digest, row.place);
        fits = fresh->rows.size() % kBetweenLooks != 0 || maps.fits(fresh->rows);
        return fits;
    };
    QIAO_CO_CHECK(co_await reader_.scan(visit));
    if (!fits || !maps.fits(fresh->rows)) {
        maps.give_up(oid_);
        co_return Status{};
    }
    // Nobody can change them before this transaction ends: the scan has locked the table.
    QIAO_CO_TRY(fresh->files, co_await reader_.files());
    fresh->shape = shape_;
    fresh->generation = maps.next_generation();
    maps.keep(oid_, std::move(fresh));
    table_ = journal_.lease(oid_);
    co_return Status{};
}

/// Called when nothing of a call is under way any more.
void MappedWrite::settle() {
    if (table_ && !journal_.maps().within_budget()) {
        journal_.maps().give_up(oid_);
    }
}

void MappedWrite::put(uint64_t digest, const Place& place) {
    if (table_) {
        journal_.put(oid_, *table_, digest, place);
    } else {
        found_.put(digest, place);
    }
}

std::optional<Place> MappedWrite::take(uint64_t digest) {
    return table_ ? journal_.take(oid_, *table_, digest) : found_.take(digest);
}

bool MappedWrite::contains(uint64_t digest) const {
    return table_ ? table_->rows.contains(digest) : found_.contains(digest);
}

void MappedWrite::forget(uint64_t digest) {
    while (take(digest)) {
    }
}

Task<Result<WriteResult>> MappedWrite::change(std::vector<RowStatement> rows) {
    rows_ = std::move(rows);
    QIAO_CO_TRY(digests_, co_await reader_.digests(rows_));
    QIAO_CO_CHECK(co_await find_or_build());
    for (size_t i = 0; i < rows_.size(); ++i) {
        queue_.push_back(i);
    }
    while (!queue_.empty()) {
        gather();
        QIAO_CO_TRY(auto result, gathered_.empty() ? co_await look() : co_await run_gathered());
        if (result.failure) {
            outcome_.failure = std::move(result.failure);
            break;
        }
    }
    settle();
    std::ranges::sort(outcome_.missed_at);
    outcome_.missed = outcome_.missed_at.size();
    co_return std::move(outcome_);
}

void MappedWrite::gather() {
    while (!queue_.empty() && gathered_.size() < kMostGathered) {
        const auto place = take(digests_[queue_.front()]);
        if (!place) {
            break;
        }
        gathered_.push_back(queue_.front());
        places_.push_back(*place);
        queue_.pop_front();
    }
}

Task<Result<WriteResult>> MappedWrite::run_gathered() {
    std::vector<PlaceBytes> bytes(gathered_.size());
    std::vector<RowStatement> statements;
    statements.reserve(gathered_.size());
    for (size_t i = 0; i < gathered_.size(); ++i) {
        statements.push_back(placed_statement(plan_, rows_[gathered_[i]], places_[i], bytes[i]));
    }
    RowPipeline pipeline(connection_, cache_);
    QIAO_CO_TRY(auto result, co_await pipeline.run(plan_, statements));
    if (result.failure && result.failure->index) {
        result.failure->index = gathered_[*result.failure->index];
    }
    auto& counters = journal_.maps().counters();
    counters.hits += table_ ? gathered_.size() - result.missed : 0;
    stale_ = stale_ || result.missed > 0;
    // What the map holds beside a wrong place is likely to be wrong too.
    for (const auto missed : std::views::reverse(result.missed_at)) {
        forget(digests_[gathered_[missed]]);
        queue_.push_front(gathered_[missed]);
    }
    for (const auto& told : pipeline.told()) {
        if (told) {
            put(told->digest, told->place);
        }
    }
    gathered_.clear();
    places_.clear();
    co_return result;
}

Task<Result<WriteResult>> MappedWrite::look() {
    if (!scanned_) {
        QIAO_CO_CHECK(co_await scan_for_queue());
        co_return WriteResult{};
    }
    const auto front = queue_.front();
    const auto locked = locked_.find(digests_[front]);
    if (locked == locked_.end()) {
        QIAO_CO_CHECK(co_await lock_front());
        co_return WriteResult{};
    }
    if (locked->second) {
        co_return co_await run_front();
    }
    outcome_.missed_at.push_back(front);
    queue_.pop_front();
    co_return WriteResult{};
}

Task<Result<WriteResult>> MappedWrite::run_front() {
    const auto front = queue_.front();
    queue_.pop_front();
    RowPipeline pipeline(connection_, cache_);
    const std::vector<RowStatement> statement{rows_[front]};
    QIAO_CO_TRY(auto result, co_await pipeline.run(plan_, statement));
    if (result.failure) {
        result.failure->index = front;
    } else if (result.missed > 0) {
        outcome_.missed_at.push_back(front);
    } else if (const auto& told = pipeline.told().front()) {
        put(told->digest, told->place);
    }
    co_return result;
}

Task<Status> MappedWrite::scan_for_queue() {
    scanned_ = true;
    auto& counters = journal_.maps().counters();
    std::unordered_map<uint64_t, size_t> wanted;
    size_t left = 0;
    for (const auto index : queue_) {
        // One wrong place comes seldom alone: then the scan serves the whole queue.
        const auto digest = digests_[index];
        if (stale_ || wanted.contains(digest) || !contains(digest)) {
            ++wanted[digest];
            ++left;
        }
    }
    counters.misses += left;
    ++counters.scans;
    if (table_) {
        QIAO_CO_TRY(const auto files, co_await reader_.files());
        if (files != table_->files) {
            ++counters.rebuilds;
            QIAO_CO_CHECK(co_await build());
            if (table_) {
                co_return Status{};
            }
        }
    }
    std::vector<uint64_t> digests;
    for (const auto& [digest, count] : wanted) {
        forget(digest);
        digests.push_back(digest);
    }
    const PlaceReader::Visit visit = [this, &wanted, &left](const PlacedRow& row) {
        auto& count = wanted[row.digest];
        if (table_ || count > 0) {
            put(row.digest, row.place);
        }
        left -= count > 0 ? 1 : 0;
        count -= count > 0 ? 1 : 0;
        // A map gets to know all of them, so that the next call finds its own.
        return table_ || left > 0;
    };
    co_return co_await reader_.scan_for(digests, visit);
}

/// The last word: between the scan and the statement somebody else may have moved the row.
Task<Status> MappedWrite::lock_front() {
    const auto front = queue_.front();
    const auto digest = digests_[front];
    const auto most =
        std::ranges::count(queue_, digest, [this](size_t index) { return digests_[index]; });
    QIAO_CO_TRY(const auto places, co_await reader_.lock(rows_[front], static_cast<size_t>(most)));
    for (const auto& place : places) {
        put(digest, place);
    }
    locked_[digest] = !places.empty();
    co_return Status{};
}

Task<Result<WriteResult>> MappedWrite::insert(std::vector<RowStatement> rows, bool as_set) {
    lease();
    const std::span<const RowStatement> all(rows);
    size_t done = 0;
    while (done < rows.size()) {
        const auto part = all.subspan(done, rows_of_one_set(all.subspan(done)));
        bool written = false;
        if (as_set) {
            QIAO_CO_TRY(written, co_await insert_set(part));
        }
        if (!written) {
            QIAO_CO_TRY(auto result, co_await insert_each(part));
            if (result.failure) {
                if (result.failure->index) {
                    *result.failure->index += done;
                }
                settle();
                co_return result;
            }
        }
        done += part.size();
    }
    settle();
    co_return WriteResult{};
}

/// False: these rows have no such form.
Task<Result<bool>> MappedWrite::insert_set(std::span<const RowStatement> rows) {
    auto statement = make_set_statement(plan_, rows);
    if (!statement) {
        co_return false;
    }
    QIAO_CO_TRY(
        const auto written,
        co_await connection_.query(
            std::move(statement->sql), std::move(statement->parameters), ResultForm::Binary
        )
    );
    for (size_t i = 0; i < written.size(); ++i) {
        const auto row =
            read_placed_row(written.text(i, 0), written.text(i, 1), written.text(i, 2));
        put(row.digest, row.place);
    }
    co_return true;
}

Task<Result<WriteResult>> MappedWrite::insert_each(std::span<const RowStatement> rows) {
    RowPipeline pipeline(connection_, cache_);
    const std::vector<RowStatement> each(rows.begin(), rows.end());
    QIAO_CO_TRY(auto result, co_await pipeline.run(plan_, each));
    for (const auto& told : pipeline.told()) {
        if (told) {
            put(told->digest, told->place);
        }
    }
    co_return result;
}

}  // namespace qiao::drivers::postgres::internal
