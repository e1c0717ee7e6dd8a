#include "qiao/apply/internal/replay.h"

#include "qiao/apply/internal/net_effect.h"
#include "qiao/common/assert.h"
#include "qiao/common/plant.h"

#include <algorithm>
#include <numeric>

namespace qiao::apply {

using drivers::TableStatus;
using model::Op;

namespace {

/// When rows are still refused: enough to have their chains whole.
constexpr size_t kRowsAtOnce = 50'000;
constexpr size_t kBytesAtOnce = size_t{64} << 20U;

}  // namespace

Replay::Replay(drivers::TargetSession& session, Clock& clock, ReplayOptions options)
    : session_(session), options_(std::move(options)), catalogue_(clock, options_.names) {
    QIAO_ASSERT(options_.open != nullptr && (!options_.resume || options_.table));
    in_order_.stream = options_.stream;
    in_order_.fold = false;
    paused_ = options_.resume;
}

Task<Result<ReplayReport>> Replay::run(StopSignal& stop) {
    QIAO_CO_TRY(auto schemas, co_await session_.schemas(options_.stream));
    for (auto& schema : schemas) {
        const auto id = schema.id();
        catalogue_.add(std::move(schema));
        catalogue_.use(id);
    }
    // Then whole chains, however long, for their net effect.
    for (const auto rows : {options_.batch_rows, kRowsAtOnce}) {
        rows_most_ = rows;
        uint64_t applied = 0;
        do {
            applied = report_.applied;
            QIAO_CO_CHECK(co_await pass(stop));
        } while (report_.applied != applied && !report_.refused.empty());
        if (report_.refused.empty()) {
            break;
        }
    }
    co_return std::move(report_);
}

Task<Status> Replay::pass(StopSignal& stop) {
    report_.kept = 0;
    report_.refused.clear();
    blocked_.clear();
    after_ = 0;
    for (;;) {
        if (stop.requested()) {
            co_return Error(ErrorCode::Cancelled);
        }
        catalogue_.forget();
        const auto done = co_await batch();
        if (!done || *done == Batch::Again) {
            const auto undone = co_await session_.rollback();
            QIAO_CO_CHECK(done);
            QIAO_CO_CHECK(undone);
        }
        if (done && *done == Batch::End) {
            co_return Status{};
        }
    }
}

/// One transaction says where one path of changes has been, so that its first is read before.
Task<Result<Replay::Batch>> Replay::batch() {
    QIAO_CO_TRY(const auto first, co_await read(1));
    const auto origin = first.empty() ? std::string() : first.front().opened.head.origin;
    QIAO_CO_CHECK(co_await session_.begin(origin));
    QIAO_CO_CHECK(co_await session_.intervene(options_.stream));
    co_return co_await batch_within(origin);
}

Task<Result<Replay::Batch>> Replay::batch_within(const std::string& origin) {
    applied_now_ = kept_now_ = 0;
    QIAO_CO_TRY(auto items, co_await read(rows_most_));
    if (items.empty()) {
        QIAO_CO_CHECK(co_await let_go_on());
        QIAO_CO_CHECK(co_await commit());
        paused_ = false;
        co_return Batch::End;
    }
    if (items.front().opened.head.origin != origin) {
        co_return Batch::Again;
    }
    const auto other = std::ranges::find_if(items, [&](const Item& item) {
        return item.opened.head.origin != origin;
    });
    items.erase(other, items.end());
    const auto last = items.back().row.number;
    QIAO_CO_CHECK(co_await leave_out_standing(items));
    QIAO_CO_CHECK(co_await bind(items));
    for (const auto& chain : chains_of(items)) {
        if (!is_meant(items, chain)) {
            continue;
        }
        if (is_blocked(items, chain)) {
            block(items, chain, 0);
            continue;
        }
        QIAO_CO_CHECK(co_await replay(items, chain));
    }
    QIAO_CO_CHECK(co_await commit());
    report_.applied += applied_now_;
    report_.kept += kept_now_;
    after_ = last;
    co_return Batch::Done;
}

Task<Result<std::vector<Replay::Item>>> Replay::read(size_t rows_most) {
    drivers::ErrorRange range;
    range.table = options_.table;
    range.after = after_;
    range.rows_most = rows_most;
    range.bytes_most = rows_most == kRowsAtOnce ? kBytesAtOnce : options_.batch_bytes;
    QIAO_CO_TRY(auto rows, co_await session_.read_errors(options_.stream, std::move(range)));
    std::vector<Item> items;
    for (auto& row : rows) {
        auto opened = options_.open(row.sealed_change);
        if (!opened) {
            co_return opened.error().within(row.table.to_string() + " [" + row.key_text + "]");
        }
        items.push_back({std::move(row), *std::move(opened), nullptr, {}});
    }
    co_return items;
}

Task<Status> Replay::leave_out_standing(std::vector<Item>& items) {
    QIAO_CO_TRY(const auto states, co_await session_.table_states(options_.stream));
    const auto stands = [&](const Item& item) {
        const auto state = std::ranges::find(states, item.row.table, &drivers::TableState::table);
        const bool flows = state == states.end() || state->status == TableStatus::Live ||
                           state->status == TableStatus::Unproven;
        return !flows && !paused_;
    };
    std::erase_if(items, stands);
    co_return Status{};
}

Task<Status> Replay::bind(std::vector<Item>& items) {
    for (auto& item : items) {
        const auto& change = item.opened.change;
        auto ids = change.more_tables;
        ids.insert(ids.begin(), change.schema);
        for (const auto& id : ids) {
            const auto schema = catalogue_.schema(id);
            if (schema && schema->table == item.row.table) {
                QIAO_CO_CHECK(co_await catalogue_.bind(session_, id));
                item.table = &catalogue_.table(id);
            }
        }
        if (item.table == nullptr) {
            co_return Error(ErrorCode::ApplyUnknownSchema, item.row.table.to_string());
        }
        item.keys = ErrorChains::keys_of(*item.table, change);
    }
    co_return Status{};
}

/// In the order of their first changes.
std::vector<Replay::Chain> Replay::chains_of(const std::vector<Item>& items) const {
    std::vector<size_t> leader(items.size());
    std::iota(leader.begin(), leader.end(), size_t{0});
    const auto lead = [&](size_t i) {
        while (leader[i] != i) {
            i = leader[i] = leader[leader[i]];
        }
        return i;
    };
    std::map<drivers::ErrorKey, size_t> named;
    for (size_t i = 0; i < items.size(); ++i) {
        auto keys = items[i].keys;
        if (!items[i].table->key_is_bytes) {
            keys = {""};
        }
        for (auto& key : keys) {
            const auto [place, added] = named.try_emplace({items[i].row.table, std::move(key)}, i);
            const auto one = lead(place->second);
            const auto other = lead(i);
            leader[std::max(one, other)] = std::min(one, other);
        }
    }
    std::map<size_t, Chain> chains;
    for (size_t i = 0; i < items.size(); ++i) {
        chains[lead(i)].push_back(i);
    }
    std::vector<Chain> in_order;
    for (auto& [first, chain] : chains) {
        in_order.push_back(std::move(chain));
    }
    return in_order;
}

bool Replay::is_meant(const std::vector<Item>& items, const Chain& chain) const {
    return options_.key.empty() || std::ranges::any_of(chain, [&](size_t i) {
               return std::ranges::find(items[i].keys, options_.key) != items[i].keys.end();
           });
}

/// An earlier batch had changes of the same rows that were refused.
bool Replay::is_blocked(const std::vector<Item>& items, const Chain& chain) const {
    return std::ranges::any_of(chain, [&](size_t i) {
        const auto& table = items[i].row.table;
        return std::ranges::any_of(items[i].keys, [&](const auto& key) {
            return blocked_.contains({table, key}) || blocked_.contains({table, "*"});
        });
    });
}

void Replay::block(const std::vector<Item>& items, const Chain& chain, size_t from) {
    for (auto at = from; at < chain.size(); ++at) {
        const auto& item = items[chain[at]];
        for (const auto& key : item.keys) {
            blocked_.insert({item.row.table, key});
        }
        if (!item.table->key_is_bytes) {
            blocked_.insert({item.row.table, "*"});
        }
        ++kept_now_;
    }
}

Task<Status> Replay::replay(const std::vector<Item>& items, const Chain& chain) {
    size_t done = 0;
    QIAO_CO_TRY(const auto error, co_await replay_front(items, chain, done));
    std::vector<uint64_t> numbers;
    for (size_t at = 0; at < done; ++at) {
        numbers.push_back(items[chain[at]].row.number);
    }
    if (!numbers.empty()) {
        QIAO_CO_CHECK(co_await session_.drop_errors(options_.stream, std::move(numbers)));
        applied_now_ += done;
    }
    if (!error) {
        co_return Status{};
    }
    auto refused = items[chain[done]].row;
    refused.code = error->info().name;
    refused.detail = error->detail();
    QIAO_CO_CHECK(
        co_await session_.note_error(options_.stream, refused.number, refused.code, refused.detail)
    );
    refused.sealed_change.clear();
    report_.refused.push_back(std::move(refused));
    block(items, chain, done);
    co_return Status{};
}

Task<Result<std::optional<Error>>> Replay::replay_front(
    const std::vector<Item>& items, const Chain& chain, size_t& done
) {
    const std::span<const size_t> all(chain);
    while (done < chain.size() && items[chain[done]].opened.change.op == Op::Truncate) {
        QIAO_CO_TRY(auto error, co_await attempt(items, all.subspan(done, 1)));
        if (error) {
            co_return error;
        }
        ++done;
    }
    const auto rest = all.subspan(done);
    if (rest.empty()) {
        co_return std::nullopt;
    }
    const auto tried = is_planted(Plant::StaleImageReplayed) ? rest.first(1) : rest;
    QIAO_CO_TRY(auto error, co_await attempt(items, tried));
    // A row of somebody else in the place of an insert is not passed over by what came later.
    const bool met_a_row = error && error->is(ErrorCode::ApplyExistingRow);
    if (error && rest.size() > 1 && !met_a_row) {
        QIAO_CO_TRY(const auto still, co_await attempt_net(items, rest));
        error = still ? error : std::nullopt;
    }
    if (!error) {
        done = chain.size();
        co_return std::nullopt;
    }
    while (rest.size() > 1 && done < chain.size()) {
        QIAO_CO_TRY(error, co_await attempt(items, all.subspan(done, 1)));
        if (error) {
            break;
        }
        ++done;
    }
    co_return error;
}

Task<Result<std::optional<Error>>> Replay::attempt(
    const std::vector<Item>& items, std::span<const size_t> places
) {
    std::vector<Work> works;
    std::vector<Writer::Place> where;
    for (const auto i : places) {
        const auto& item = items[i];
        Work work{.change = &item.opened.change, .table = item.table, .transaction = where.size()};
        if (item.opened.change.op == Op::Truncate) {
            work.truncated.push_back(item.table);
        }
        works.push_back(std::move(work));
        where.push_back({item.row.point, item.row.position, &item.opened.head});
    }
    co_return co_await write(std::move(works), std::move(where));
}

Task<Result<std::optional<Error>>> Replay::attempt_net(
    const std::vector<Item>& items, std::span<const size_t> places
) {
    const auto& last = items[places.back()];
    std::vector<const model::Change*> changes;
    for (const auto i : places) {
        if (items[i].table != last.table) {
            co_return std::optional(Error(ErrorCode::ApplyDiverted)
            );  // of another shape: one by one
        }
        changes.push_back(&items[i].opened.change);
    }
    ChangeArena arena;
    std::vector<Work> works;
    for (const auto* change : net_effect(*last.table, changes, arena)) {
        works.push_back({.change = change, .table = last.table});
    }
    if (works.empty()) {
        co_return std::optional(Error(ErrorCode::ApplyDiverted));
    }
    std::vector<Writer::Place> where{{last.row.point, last.row.position, &last.opened.head}};
    co_return co_await write(std::move(works), std::move(where));
}

/// All of it or nothing.
Task<Result<std::optional<Error>>> Replay::write(
    std::vector<Work> works, std::vector<Writer::Place> where
) {
    ErrorChains none;
    Writer writer(session_, none, in_order_);
    if (!works.front().truncated.empty()) {
        // Has a savepoint of its own.
        const auto done = co_await writer.write(std::move(works), std::move(where));
        if (!done && cure_of(done.error()) != Cure::Policy) {
            co_return done.error();
        }
        co_return done ? std::nullopt : std::optional(done.error());
    }
    QIAO_CO_CHECK(co_await session_.savepoint());
    auto done = co_await writer.write(std::move(works), std::move(where));
    if (done) {
        QIAO_CO_TRY(const auto checked, co_await session_.check_constraints());
        done = checked.failure ? Status(checked.failure->error) : Status{};
    }
    if (!done && (is_lost(done.error()) || cure_of(done.error()) == Cure::Retry)) {
        co_return done.error();
    }
    if (!done) {
        QIAO_CO_CHECK(co_await session_.rollback_to_savepoint());
    }
    QIAO_CO_CHECK(co_await session_.release_savepoint());
    co_return done ? std::nullopt : std::optional(done.error());
}

Task<Status> Replay::let_go_on() {
    if (!paused_) {
        co_return Status{};
    }
    QIAO_CO_TRY(auto states, co_await session_.table_states(options_.stream));
    const auto state = std::ranges::find(states, *options_.table, &drivers::TableState::table);
    if (state == states.end() || state->status != TableStatus::Paused) {
        co_return Error(ErrorCode::ApplyTableState, options_.table->to_string());
    }
    // A change of its shape can have changed rows that no log tells of.
    state->status = state->note.empty() ? TableStatus::Live : TableStatus::Unproven;
    state->note.clear();
    co_return co_await session_.save_table_state(options_.stream, *state);
}

Task<Status> Replay::commit() {
    const auto outcome = co_await session_.commit();
    if (outcome.kind != drivers::CommitOutcome::Kind::Committed) {
        // Either way everything fits together: what went in is dropped in the same transaction.
        co_return outcome.error.value_or(Error(ErrorCode::DbLost));
    }
    co_return Status{};
}

}  // namespace qiao::apply
