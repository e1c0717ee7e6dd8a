#include "qiao/drivers/model/model_session.h"

#include "qiao/common/assert.h"
#include "qiao/common/async/sleep.h"
#include "qiao/drivers/adoption.h"

#include <algorithm>
#include <array>

namespace qiao::drivers::model_db {
namespace {

/// A waiter looks again this often, and gives up as by a server's lock time-out.
constexpr Duration kLockPause = std::chrono::milliseconds(10);
constexpr Duration kLockTimeout = std::chrono::seconds(10);

}  // namespace

ModelSession::~ModelSession() {
    if (backend_) {
        database_.finish(*backend_, false);
    }
}

Status ModelSession::lose() {
    lost_ = true;
    if (backend_) {
        database_.abandon(std::exchange(backend_, nullptr), false);
    }
    return Error(ErrorCode::DbLost, database_.display());
}

Status ModelSession::enter(bool in_transaction) {
    ++database_.counters_.calls;
    if (lost_) {
        return Error(ErrorCode::DbLost, database_.display());
    }
    if (life_ != database_.life_ || database_.strikes(database_.faults.lost)) {
        return lose();
    }
    QIAO_ASSERT(in_transaction == (backend_ != nullptr));
    QIAO_ASSERT(!copying_);
    if (in_transaction && backend_->failed) {
        return Error(ErrorCode::DbStatement, "the transaction is aborted");
    }
    return {};
}

Error ModelSession::fail(Error error) {
    backend_->failed = true;
    return error;
}

Task<Status> ModelSession::lock_stream(StreamId stream) {
    auto& locks = database_.checkpoint_locks_;
    const auto deadline = database_.clock_.now() + kLockTimeout;
    while (locks.contains(stream) && locks[stream] != backend_.get()) {
        if (database_.clock_.now() >= deadline) {
            co_return fail(Error(ErrorCode::DbSerialization, "lock of the checkpoint"));
        }
        StopSignal never;
        (void)co_await sleep_for(database_.executor_, database_.clock_, kLockPause, never);
    }
    locks[stream] = backend_.get();
    if (backend_->checkpoints.insert(stream).second) {
        // What others committed while this one waited is seen from here on.
        auto& state = backend_->view.state;
        state.checkpoints = database_.committed_.checkpoints;
        state.interventions = database_.committed_.interventions;
        state.table_states = database_.committed_.table_states;
        auto errors = database_.committed_.errors;
        for (const auto number : backend_->view.errors) {
            const auto own = state.errors.find(number);
            if (own == state.errors.end()) {
                errors.erase(number);
            } else {
                errors.insert_or_assign(number, own->second);
            }
        }
        state.errors = std::move(errors);
    }
    co_return Status{};
}

Task<Status> ModelSession::lock_table(model::TableName name) {
    auto& locks = database_.table_locks_;
    const auto deadline = database_.clock_.now() + kLockTimeout;
    while (locks.contains(name) && locks[name] != backend_.get()) {
        if (database_.clock_.now() >= deadline) {
            co_return fail(Error(ErrorCode::DbSerialization, "lock of " + name.to_string()));
        }
        StopSignal never;
        (void)co_await sleep_for(database_.executor_, database_.clock_, kLockPause, never);
    }
    if (!database_.committed_.tables.contains(name)) {
        co_return fail(Error(ErrorCode::DbNoTable, name.to_string()));
    }
    if (backend_->view.tables.insert(name).second) {
        locks[name] = backend_.get();
        backend_->view.state.tables[name] = database_.committed_.tables.at(name);
    }
    co_return Status{};
}

Result<ModelTable*> ModelSession::writable(const model::TableName& name) {
    QIAO_ASSERT(backend_->view.tables.contains(name));
    auto own = std::make_shared<ModelTable>(*backend_->view.state.tables.at(name));
    auto* table = own.get();
    backend_->view.state.tables[name] = std::move(own);
    return table;
}

Task<Status> ModelSession::prepare() { co_return enter(false); }

Task<Result<TargetTable>> ModelSession::describe(model::TableName table) {
    QIAO_CO_CHECK(enter(backend_ != nullptr));
    const auto found = visible().tables.find(table);
    if (found == visible().tables.end()) {
        co_return Error(ErrorCode::DbNoTable, table.to_string());
    }
    co_return found->second->target();
}

/// `rename a`: its language has nothing but names.
Task<Result<std::vector<std::string>>> ModelSession::adoption(
    model::TableSchema before, model::TableSchema now
) {
    QIAO_CO_TRY(const auto target, co_await describe(now.table));
    constexpr std::array kNames{"rename", "add", "drop", "type", "key"};
    std::vector<std::string> statements;
    for (const auto& step : adoption_steps(before, now, target)) {
        statements.push_back(
            std::string(kNames.at(static_cast<size_t>(step.kind))) + " " + step.column
        );
    }
    co_return statements;
}

Task<Result<CheckpointRow>> ModelSession::claim(StreamId stream, Incarnation owner) {
    QIAO_CO_CHECK(co_await begin({}));
    QIAO_CO_CHECK(co_await lock_stream(stream));
    auto& row = backend_->view.state.checkpoints[stream];
    row.owner = owner;
    const auto claimed = row;
    database_.finish(*std::exchange(backend_, nullptr), true);
    co_return claimed;
}

Task<Result<std::optional<CheckpointRow>>> ModelSession::checkpoint(StreamId stream) {
    QIAO_CO_CHECK(enter(backend_ != nullptr));
    const auto& rows = database_.committed_.checkpoints;
    const auto met = rows.find(stream);
    co_return met == rows.end() ? std::nullopt : std::optional(met->second);
}

Task<Result<bool>> ModelSession::is_empty(model::TableName table) {
    QIAO_CO_CHECK(enter(backend_ != nullptr));
    const auto met = visible().tables.find(table);
    if (met == visible().tables.end()) {
        co_return Error(ErrorCode::DbNoTable, table.to_string());
    }
    co_return met->second->size() == 0;
}

Task<Status> ModelSession::begin(std::string passed) {
    QIAO_CO_CHECK(enter(false));
    backend_ = std::make_shared<Backend>();
    backend_->view.state = database_.committed_;
    backend_->passed = std::move(passed);
    co_return Status{};
}

Task<Result<uint64_t>> ModelSession::lock_checkpoint(StreamId stream, CheckpointRow expected) {
    QIAO_CO_CHECK(enter(true));
    QIAO_CO_CHECK(co_await lock_stream(stream));
    const auto found = backend_->view.state.checkpoints.find(stream);
    if (found == backend_->view.state.checkpoints.end() || found->second != expected) {
        co_return fail(Error(ErrorCode::ApplyFenced, stream.to_string()));
    }
    co_return backend_->view.state.interventions[stream];
}

Task<Status> ModelSession::intervene(StreamId stream) {
    QIAO_CO_CHECK(enter(true));
    QIAO_CO_CHECK(co_await lock_stream(stream));
    if (!backend_->view.state.checkpoints.contains(stream)) {
        co_return fail(Error(ErrorCode::ApplyNoStream, stream.to_string()));
    }
    ++backend_->view.state.interventions[stream];
    co_return Status{};
}

Task<Status> ModelSession::advance(StreamId stream, CheckpointRow from, CheckpointRow to) {
    QIAO_CO_CHECK(enter(true));
    QIAO_CO_CHECK(co_await lock_stream(stream));
    auto& row = backend_->view.state.checkpoints[stream];
    if (row != from) {
        co_return fail(Error(ErrorCode::ApplyFenced, stream.to_string()));
    }
    row = to;
    co_return Status{};
}

Task<CommitOutcome> ModelSession::commit() {
    using Kind = CommitOutcome::Kind;
    using Fate = ModelDatabase::CommitFate;
    if (auto entered = enter(true); !entered) {
        if (backend_) {
            database_.finish(*std::exchange(backend_, nullptr), false);
        }
        co_return CommitOutcome{lost_ ? Kind::Unknown : Kind::Failed, entered.error()};
    }
    for (const auto& key : database_.foreign_keys_) {
        if (auto held = database_.check(backend_->view.state, key); !held) {
            database_.finish(*std::exchange(backend_, nullptr), false);
            co_return CommitOutcome{Kind::Failed, held.error()};
        }
    }
    auto fate = Fate::Committed;
    if (!database_.next_commits.empty()) {
        fate = database_.next_commits.front();
        database_.next_commits.erase(database_.next_commits.begin());
    } else if (database_.strikes(database_.faults.commit_unknown)) {
        fate = database_.strikes(500) ? Fate::UnknownCommitted : Fate::UnknownLost;
    }
    if (fate == Fate::Committed) {
        database_.finish(*std::exchange(backend_, nullptr), true);
        co_return CommitOutcome{};
    }
    lost_ = true;
    database_.abandon(std::exchange(backend_, nullptr), fate == Fate::UnknownCommitted);
    co_return CommitOutcome{Kind::Unknown, Error(ErrorCode::DbLost, database_.display())};
}

Task<Status> ModelSession::rollback() {
    copying_.reset();
    if (backend_) {
        database_.finish(*std::exchange(backend_, nullptr), false);
    }
    co_return enter(false);
}

Task<Status> ModelSession::savepoint() {
    QIAO_CO_CHECK(enter(true));
    QIAO_ASSERT(!backend_->saved);
    backend_->saved = backend_->view;
    co_return Status{};
}

Task<Status> ModelSession::rollback_to_savepoint() {
    copying_.reset();
    if (backend_) {
        backend_->failed = false;
    }
    QIAO_CO_CHECK(enter(true));
    QIAO_ASSERT(backend_->saved.has_value());
    // Tables first written since then keep their lock; the next write looks at them afresh.
    backend_->view = *backend_->saved;
    co_return Status{};
}

Task<Status> ModelSession::release_savepoint() {
    QIAO_CO_CHECK(enter(true));
    QIAO_ASSERT(backend_->saved.has_value());
    backend_->saved.reset();
    co_return Status{};
}

}  // namespace qiao::drivers::model_db
