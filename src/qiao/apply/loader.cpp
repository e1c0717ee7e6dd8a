#include "qiao/apply/loader.h"

#include "qiao/apply/internal/core.h"
#include "qiao/apply/internal/part_writer.h"
#include "qiao/common/assert.h"
#include "qiao/common/async/sleep.h"

#include <fmt/format.h>

namespace qiao::apply {

using drivers::TableState;
using drivers::TableStatus;

namespace {

/// A database that is away for longer is left to a new start, which asks it first.
constexpr Duration kSettleMax = std::chrono::seconds(30);

}  // namespace

Loader::Loader(
    drivers::TargetDatabase& database,
    Applier& applier,
    std::unique_ptr<drivers::TargetSession> session
)
    : database_(database), core_(*applier.core_), session_(std::move(session)) {}

Loader::~Loader() = default;

bool Loader::is_current() const {
    const auto* load = core_.states.find_load(part_.schema.table);
    return load != nullptr && load->generation == part_.generation;
}

Task<Status> Loader::begin(LoadPart part) {
    QIAO_ASSERT(!active_ && part.number < part.parts);
    part_ = std::move(part);
    active_ = true;
    if (!session_) {
        auto connected = co_await database_.connect();
        if (!connected) {
            co_return co_await give_up(connected.error());
        }
        session_ = *std::move(connected);
    }
    auto done = co_await open_table();
    if (done) {
        done = co_await start_part();
    }
    if (!done) {
        co_return co_await give_up(done.error());
    }
    co_return Status{};
}

Task<Status> Loader::announce(std::vector<model::TableName> tables) {
    QIAO_ASSERT(!active_);
    const auto held = co_await core_.turn.take();
    core_.states.expect_loads(tables);
    std::erase_if(tables, [this](const model::TableName& table) {
        return core_.states.find(table) != nullptr;
    });
    if (tables.empty()) {
        co_return Status{};
    }
    if (!session_) {
        QIAO_CO_TRY(session_, co_await database_.connect());
    }
    const auto done = co_await save_pending(tables);
    if (!done) {
        // A COMMIT that was lost may have taken place: to say it again does no harm.
        session_.reset();
        co_return done;
    }
    for (auto& table : tables) {
        core_.states.set(TableState{.table = std::move(table)});
    }
    co_return Status{};
}

Task<Status> Loader::save_pending(const std::vector<model::TableName>& tables) {
    QIAO_CO_CHECK(co_await session_->begin());
    QIAO_CO_CHECK(co_await lock());
    for (const auto& table : tables) {
        QIAO_CO_CHECK(
            co_await session_->save_table_state(core_.options.stream, TableState{.table = table})
        );
    }
    const auto outcome = co_await session_->commit();
    if (outcome.kind != drivers::CommitOutcome::Kind::Committed) {
        co_return outcome.error.value_or(Error(ErrorCode::DbLost));
    }
    note_committed();
    co_return Status{};
}

Task<Status> Loader::adopt(LoadPart part) {
    QIAO_ASSERT(!active_);
    part_ = std::move(part);
    if (!session_) {
        QIAO_CO_TRY(session_, co_await database_.connect());
    }
    auto done = co_await adopt_table();
    if (!done) {
        co_return co_await give_up(done.error());
    }
    co_return Status{};
}

Task<Status> Loader::adopt_table() {
    const auto& name = part_.schema.table;
    const auto held = co_await core_.turn.take();
    const auto* state = core_.states.find(name);
    if (state != nullptr && state->generation >= part_.generation) {
        core_.states.adopt(name);
        co_return Status{};
    }
    QIAO_CO_CHECK(co_await session_->begin());
    QIAO_CO_CHECK(co_await lock());
    QIAO_CO_CHECK(co_await session_->drop_errors(core_.options.stream, name, ""));
    QIAO_CO_CHECK(co_await session_->save_schema(core_.options.stream, part_.schema));
    QIAO_CO_CHECK(co_await commit(TableStatus::Unproven));
    core_.states.adopt(name);
    core_.catalogue.add(part_.schema);
    core_.catalogue.use(part_.schema.id());
    core_.chains.remove_all(name);
    co_return Status{};
}

/// Joins the load of this generation, or begins it: from then on the applier holds back changes
/// that belong behind it.
Task<Status> Loader::open_table() {
    const auto& name = part_.schema.table;
    const auto held = co_await core_.turn.take();
    const auto* state = core_.states.find(name);
    if (is_current()) {
        auto* load = core_.states.find_load(name);
        if (!load->begun.insert(part_.number).second) {
            co_return Error(ErrorCode::ApplyLoadVoid, name.to_string() + ": part came twice");
        }
        co_return Status{};
    }
    if (part_.announced && !core_.states.expects_load(name)) {
        co_return Error(ErrorCode::ApplyLoadVoid, name.to_string() + ": not announced here");
    }
    // A generation that this process has not begun cannot be joined: which of its parts are in
    // the table is not known.
    const bool fresh = state == nullptr || state->status == TableStatus::Pending;
    const bool left_unfinished = part_.begins_again && state != nullptr &&
                                 state->generation == part_.generation &&
                                 state->status == TableStatus::Loading;
    if (!fresh && !left_unfinished && state->generation >= part_.generation) {
        co_return Error(ErrorCode::ApplyLoadVoid, name.to_string() + ": an older load");
    }
    QIAO_CO_CHECK(co_await session_->begin());
    QIAO_CO_CHECK(co_await lock());
    remove_first_ = !fresh && part_.parts == 1;
    if (!fresh && part_.parts > 1) {
        QIAO_CO_CHECK(co_await remove_rows());
    }
    // What waits is older than the rows to come.
    QIAO_CO_CHECK(co_await session_->drop_errors(core_.options.stream, name, ""));
    // A table's first change may come after its shape has changed.
    QIAO_CO_CHECK(co_await session_->save_schema(core_.options.stream, part_.schema));
    QIAO_CO_CHECK(co_await commit(TableStatus::Loading));
    core_.catalogue.add(part_.schema);
    core_.catalogue.use(part_.schema.id());
    core_.chains.remove_all(name);
    core_.chains.keep_changes();
    core_.states.begin_load(name, part_.generation).begun.insert(part_.number);
    co_return Status{};
}

Task<Status> Loader::remove_rows() {
    QIAO_CO_CHECK(co_await session_->savepoint());
    const auto target = core_.options.names.target_of(part_.schema.table);
    std::vector<model::TableName> tables{target};
    const auto done = co_await session_->truncate(std::move(tables), false);
    if (!done) {
        if (is_lost(done.error())) {
            co_return done.error();
        }
        QIAO_CO_CHECK(co_await session_->rollback_to_savepoint());
        QIAO_CO_CHECK(co_await session_->delete_all(target));
    }
    co_return co_await session_->release_savepoint();
}

Task<Status> Loader::start_part() {
    QIAO_CO_CHECK(co_await session_->begin());
    if (std::exchange(remove_first_, false)) {
        QIAO_CO_CHECK(co_await remove_rows());
    }
    writer_ = std::make_unique<PartWriter>(
        *session_, core_.clock, core_.options, part_, core_.checkpoint.point
    );
    co_return co_await writer_->begin();
}

Task<Status> Loader::rows(LoadRows rows) {
    QIAO_ASSERT(active_);
    if (!is_current()) {
        co_return co_await give_up(Error(ErrorCode::ApplyLoadVoid));
    }
    auto done = co_await writer_->rows(std::move(rows));
    if (!done) {
        co_return co_await give_up(done.error());
    }
    co_return Status{};
}

Task<Result<uint64_t>> Loader::end() {
    QIAO_ASSERT(active_);
    auto rows = co_await finish();
    if (!rows) {
        co_return co_await give_up(rows.error());
    }
    active_ = false;
    co_return *rows;
}

Task<Result<uint64_t>> Loader::finish() {
    const auto& name = part_.schema.table;
    if (!is_current()) {
        co_return Error(ErrorCode::ApplyLoadVoid);
    }
    QIAO_CO_TRY(const auto rows, co_await writer_->end());
    const auto held = co_await core_.turn.take();
    // Another part may have given the load up while this one waited.
    if (!is_current()) {
        co_return Error(ErrorCode::ApplyLoadVoid);
    }
    const bool live = core_.states.find_load(name)->done.size() + 1 == part_.parts;
    // Locked as late as this: the applier goes on beside the load until then.
    QIAO_CO_CHECK(co_await lock());
    QIAO_CO_CHECK(co_await check_parts());
    QIAO_CO_CHECK(co_await commit(live ? TableStatus::Live : TableStatus::Loading));
    note_laid_aside();
    if (live) {
        core_.states.end_load(name);
    } else if (is_current()) {
        core_.states.find_load(name)->done.insert(part_.number);
    }
    co_return rows;
}

TableState Loader::state_of_load(TableStatus status, size_t done) const {
    TableState state{part_.schema.table, part_.generation, status, part_.joined_at};
    if (status == TableStatus::Loading && done != 0) {
        state.note = fmt::format("{}/{}", done, part_.parts);
    }
    if (status == TableStatus::Unproven) {
        state.doubted_at = core_.checkpoint.position;
    }
    return state;
}

/// The target still has the parts that it has committed: it could have been put back, or have been
/// failed over to a server that lacked the last of them, which no position shows.
Task<Status> Loader::check_parts() {
    const auto& name = part_.schema.table;
    QIAO_CO_TRY(const auto stored, co_await session_->table_state(core_.options.stream, name));
    const auto done = core_.states.find_load(name)->done.size();
    if (stored != state_of_load(TableStatus::Loading, done)) {
        co_return Error(ErrorCode::ApplyLoadVoid, name.to_string() + ": the target went back");
    }
    co_return Status{};
}

/// Every commit of a load counts beside the checkpoint, whose position it leaves alone: so the
/// applier sees when the target's database has lost one.
Task<Status> Loader::lock() {
    const auto& stream = core_.options.stream;
    const auto locked = co_await session_->lock_checkpoint(stream, core_.checkpoint);
    if (!locked) {
        if (locked.error().is(ErrorCode::ApplyFenced)) {
            core_.doubt_all(locked.error());
        }
        co_return locked.error();
    }
    counted_ = *locked;
    co_return co_await session_->intervene(stream);
}

/// The turn is ours. What others have changed meanwhile the applier still has to read.
void Loader::note_committed() {
    const bool alone = core_.interventions == counted_;
    core_.interventions = alone ? std::optional(counted_ + 1) : std::nullopt;
}

void Loader::note_laid_aside() {
    for (const auto& row : writer_->laid_aside()) {
        core_.chains.add(row.table, row.keys);
        ++core_.status.divergences;
        ++core_.status.diverted;
        core_.observer.diverged(row);
    }
    core_.chains.keep_changes();
}

/// Commits what the session holds, with the table's state. The turn is ours.
Task<Status> Loader::commit(TableStatus status) {
    const auto* load = is_current() ? core_.states.find_load(part_.schema.table) : nullptr;
    const auto state = state_of_load(status, load == nullptr ? 0 : load->done.size() + 1);
    QIAO_CO_CHECK(co_await session_->save_table_state(core_.options.stream, state));
    const auto outcome = co_await session_->commit();
    if (outcome.kind == drivers::CommitOutcome::Kind::Committed) {
        note_committed();
        core_.states.set(state);
        co_return Status{};
    }
    const auto error = outcome.error.value_or(Error(ErrorCode::DbLost));
    if (outcome.kind == drivers::CommitOutcome::Kind::Failed) {
        co_return error;
    }
    QIAO_CO_TRY(const auto found, co_await settle());
    if (found != state) {
        co_return error;
    }
    note_committed();
    core_.states.set(state);
    co_return Status{};
}

Task<Result<TableState>> Loader::read_state() {
    if (!session_) {
        QIAO_CO_TRY(session_, co_await database_.connect());
    }
    QIAO_CO_CHECK(co_await session_->begin());
    // Waits for the backend of the lost connection.
    QIAO_CO_CHECK(co_await session_->lock_checkpoint(core_.options.stream, core_.checkpoint));
    QIAO_CO_CHECK(co_await session_->rollback());
    QIAO_CO_TRY(
        auto state, co_await session_->table_state(core_.options.stream, part_.schema.table)
    );
    co_return std::move(state).value_or(TableState{});
}

/// Until it is certain the applier must not go on: what it did next would depend on a guess. The
/// turn is ours meanwhile.
Task<Result<TableState>> Loader::settle() {
    Backoff pause(core_.options.retry_first, core_.options.retry_most);
    const auto give_up_at = core_.clock.now() + kSettleMax;
    StopSignal never;
    for (;;) {
        session_.reset();
        auto state = co_await read_state();
        if (state) {
            co_return state;
        }
        const auto next = core_.clock.now() + pause.next(core_.rng);
        if (next > give_up_at || cure_of(state.error()) == Cure::Never) {
            core_.doubt_all(
                Error(ErrorCode::ApplyLoadVoid, "COMMIT not settled: " + state.error().to_string())
            );
            co_return *core_.doubt;
        }
        QIAO_CO_CHECK(co_await sleep_until(core_.executor, core_.clock, next, never));
    }
}

/// Voids the whole load: its generation is used up.
Task<Error> Loader::give_up(Error error) {
    active_ = false;
    writer_.reset();
    if (is_current()) {
        core_.states.end_load(part_.schema.table);
    }
    if (session_) {
        const auto undone = co_await session_->rollback();
        if (!undone) {
            session_.reset();
        }
    }
    co_return error.within("load of " + part_.schema.table.to_string());
}

}  // namespace qiao::apply
