#include "qiao/apply/internal/doubt.h"
#include "qiao/apply/internal/writer.h"
#include "qiao/apply/key.h"

#include <algorithm>
#include <iterator>
#include <set>

// Whole rows in the place of whatever the target has under their keys, when they are written one by
// one. Rows that have changed their values of a unique key among each other go in only together,
// after all of them have let go of those.
namespace qiao::apply {

using model::Change;
using model::Op;

namespace {

/// Each finds one row that is the matter by itself.
constexpr int kTogetherMost = 8;

/// Of each further unique key of the target a column of the source's rows that may be empty, as
/// places there; none: a key has no such column, or is not told by columns.
std::optional<std::vector<size_t>> columns_to_empty(const BoundTable& table) {
    const auto& target = table.target;
    if (target.opaque_unique || target.exclusion) {
        return std::nullopt;
    }
    const auto may_be_empty = [&](const std::string& name) {
        const auto place = table.written->find_column(name);
        const auto at = std::ranges::find(target.columns, name, &drivers::TargetColumn::name);
        return place && at != target.columns.end() && !at->not_null && !at->generated &&
               std::ranges::find(table.key, *place) == table.key.end();
    };
    std::vector<size_t> places;
    for (const auto& unique : target.unique_keys) {
        const auto column = std::ranges::find_if(unique, may_be_empty);
        if (column == unique.end()) {
            return std::nullopt;
        }
        places.push_back(*table.written->find_column(*column));
    }
    return places;
}

/// The update of a row that leaves everything but `places` as it is, and those empty.
Change emptying(
    const Change& row,
    const BoundTable& table,
    const std::vector<size_t>& places,
    ChangeArena& arena
) {
    const auto values = row.new_row.values();
    model::TupleBuilder image(static_cast<uint16_t>(values.size()));
    for (size_t i = 0; i < values.size(); ++i) {
        if (std::ranges::find(table.key, i) != table.key.end()) {
            image.add(values[i]);
        } else if (std::ranges::find(places, i) != places.end()) {
            image.null();
        } else {
            image.unchanged();
        }
    }
    Change change;
    change.op = Op::Update;
    change.schema = row.schema;
    change.new_row = arena.keep(std::move(image));
    return change;
}

Change removal(const Change& row, const BoundTable& table, ChangeArena& arena) {
    Change change;
    change.op = Op::Delete;
    change.schema = row.schema;
    change.old_image = model::OldImage::Key;
    change.old_row = arena.key_image(row.new_row, table.key);
    return change;
}

/// Makes these rows let go of their unique values: by emptying them, or where that cannot be and a
/// row comes again whole, by deleting. None: neither can be.
std::optional<Step> letting_go(
    const BoundTable& table, const std::vector<const Change*>& rows, ChangeArena& arena
) {
    const auto places = columns_to_empty(table);
    if (!places && (!table.replaceable || table.target.foreign_keys_in)) {
        return std::nullopt;
    }
    Step step{.table = &table, .op = places ? Op::Update : Op::Delete, .may_miss = true};
    for (const auto* row : rows) {
        step.changes.push_back(
            arena.make(places ? emptying(*row, table, *places, arena) : removal(*row, table, arena))
        );
    }
    return step;
}

bool has_other_unique_keys(const drivers::TargetTable& target) {
    return !target.unique_keys.empty() || target.opaque_unique || target.exclusion;
}

}  // namespace

bool Writer::is_whole_row(const Work& work) {
    return work.change->tolerant && work.change->op != Op::Truncate && !work.parked &&
           !work.table->key.empty() && !leaves_out_columns(work.change->new_row);
}

size_t Writer::whole_rows(const std::vector<Work>& works, size_t from) {
    const auto& first = works[from];
    std::set<std::string> named;
    size_t count = 0;
    for (auto at = from; at < works.size(); ++at, ++count) {
        const auto& work = works[at];
        if (!is_whole_row(work) || work.table != first.table ||
            work.transaction != first.transaction) {
            break;
        }
        // What is refused is put off to the end of the run: nothing of the same row may come there.
        auto names = ErrorChains::keys_of(*work.table, *work.change);
        const bool again =
            std::ranges::any_of(names, [&](const auto& name) { return named.contains(name); });
        if (count != 0 && (again || !work.table->key_is_bytes)) {
            break;
        }
        named.insert(std::make_move_iterator(names.begin()), std::make_move_iterator(names.end()));
    }
    return count;
}

Task<Status> Writer::put_whole_rows(
    const std::vector<Work>& works, size_t from, size_t count, Place place
) {
    std::vector<Refused> refused;
    for (auto at = from; at < from + count; ++at) {
        QIAO_CO_TRY(const auto finding, co_await try_run(works, at, 1));
        if (finding && cure_of(finding->error) != Cure::Policy) {
            co_return named(finding->error, works[at]);
        }
        if (finding) {
            refused.push_back({at, finding->error});
        } else {
            QIAO_CO_CHECK(co_await went_in(works[at], place));
        }
    }
    QIAO_CO_CHECK(co_await put_together(works, refused, place));
    for (const auto& one : refused) {
        const auto& work = works[one.at];
        const bool waits = diverts(work);
        divergences_ += waits ? 0 : 1;
        if (!waits && options_.policy == DivergencePolicy::Stop) {
            co_return named(one.error, work);
        }
        QIAO_CO_CHECK(co_await divert(work, place, one.error));
    }
    co_return Status{};
}

Task<Status> Writer::put_together(
    const std::vector<Work>& works, std::vector<Refused>& refused, Place place
) {
    const auto by_constraint = [&](const Refused& one) {
        const auto& work = works[one.at];
        return one.error.is(ErrorCode::DbConstraint) && work.change->op != Op::Delete &&
               work.table->key_is_bytes && has_other_unique_keys(work.table->target) &&
               !changes_key(*work.change, work.table->key);
    };
    std::vector<Refused> together;
    std::ranges::copy_if(refused, std::back_inserter(together), by_constraint);
    for (int tried = 0; together.size() > 1 && tried < kTogetherMost; ++tried) {
        QIAO_CO_TRY(const auto finding, co_await try_together(works, together));
        if (finding && !finding->index) {
            co_return Status{};
        }
        if (finding) {
            together.erase(together.begin() + static_cast<ptrdiff_t>(*finding->index));
            continue;
        }
        for (const auto& one : together) {
            QIAO_CO_CHECK(co_await went_in(works[one.at], place));
            std::erase_if(refused, [&](const Refused& other) { return other.at == one.at; });
        }
        co_return Status{};
    }
    co_return Status{};
}

/// The index of the finding is that of a row in `refused`; none: they cannot be written together.
Task<Result<std::optional<Writer::Finding>>> Writer::try_together(
    const std::vector<Work>& works, const std::vector<Refused>& refused
) {
    const auto& table = *works[refused.front().at].table;
    ChangeArena arena;
    Plan plan({.fold = false});
    std::vector<const Change*> rows;
    for (const auto& one : refused) {
        plan.add(works[one.at]);
        rows.push_back(works[one.at].change);
    }
    const auto first = letting_go(table, rows, arena);
    if (!first) {
        co_return Finding{std::nullopt, refused.front().error};
    }
    auto steps = plan.finish();
    steps.insert(steps.begin(), *first);
    QIAO_CO_TRY(auto finding, co_await try_steps(steps));
    if (finding && cure_of(finding->error) != Cure::Policy) {
        co_return finding->error;
    }
    if (finding && finding->index) {
        const bool of_row = *finding->index >= rows.size() && *finding->index < 2 * rows.size();
        finding->index = of_row ? std::optional(*finding->index - rows.size()) : std::nullopt;
    }
    co_return finding;
}

Task<Status> Writer::went_in(const Work& work, Place place) {
    ++rows_;
    if (!diverts(work)) {
        co_return Status{};
    }
    const auto& table = work.table->schema->table;
    const auto key = ErrorChains::keys_of(*work.table, *work.change).front();
    QIAO_CO_TRY(const auto rows, co_await drop_chain(session_, options_.stream, table, key));
    for (const auto& row : rows) {
        chains_.remove(table, row);
    }
    if (rows.size() > 1) {
        co_return co_await doubt(table, place.position);
    }
    co_return Status{};
}

/// Who removed from the chains looks at the states again, too, before the next transaction.
Task<Status> Writer::doubt(model::TableName table, model::SourcePosition place) {
    QIAO_CO_TRY(auto state, co_await session_.table_state(options_.stream, std::move(table)));
    if (state && put_in_doubt(*state, std::move(place), "changes were dropped")) {
        QIAO_CO_CHECK(co_await session_.save_table_state(options_.stream, *std::move(state)));
    }
    co_return Status{};
}

}  // namespace qiao::apply
