#include "qiao/apply/internal/core.h"
#include "qiao/common/assert.h"
#include "qiao/common/async/sleep.h"
#include "qiao/common/plant.h"

#include <algorithm>

// One unit into one target transaction: lock, rows, constraints, checkpoint, commit.
namespace qiao::apply {

Task<Status> Applier::Core::connect() {
    if (session) {
        co_return Status{};
    }
    QIAO_CO_TRY(session, co_await database.connect());
    catalogue.forget();
    co_return Status{};
}

Task<void> Applier::Core::abandon(Error error) {
    chains.forget_changes();
    catalogue.forget();
    if (!session || is_lost(error)) {
        session.reset();
        co_return;
    }
    const auto undone = co_await session->rollback();
    if (!undone) {
        session.reset();
    }
}

Task<Status> Applier::Core::bind(const Transaction& transaction) {
    model::SchemaId last;
    for (const auto& part : transaction.parts) {
        for (const auto& change : part.changes) {
            if (change.schema != last) {
                QIAO_CO_CHECK(co_await bind(change.schema, transaction.head.commit));
                last = change.schema;
            }
            for (const auto& other : change.more_tables) {
                QIAO_CO_CHECK(co_await bind(other, transaction.head.commit));
            }
        }
    }
    co_return Status{};
}

Result<Applier::Core::Fate> Applier::Core::fate_of(
    const BoundTable& table,
    const model::TransactionHead& head,
    std::vector<drivers::TableState>& leaving
) {
    const auto& name = table.schema->table;
    const auto due = states.due(name, head.commit);
    if (due == Due::AfterLoad) {
        // A load began while this transaction was on its way: wait for it.
        return Error(ErrorCode::ApplyLoadVoid, name.to_string());
    }
    if (due == Due::Contained || due == Due::OutOfStep) {
        return Fate::Pass;
    }
    if (due == Due::Apply && table.apart) {
        // It went on since it was bound: bound anew it can be written.
        return Error(ErrorCode::DbSerialization, name.to_string() + " goes on");
    }
    if (chains.rows(name) < options.laid_aside_max) {
        return due == Due::Park ? Fate::Park : Fate::Apply;
    }
    drivers::TableState state;
    if (const auto* known = states.find(name)) {
        state = *known;
    }
    state.table = name;
    state.status = drivers::TableStatus::NeedsResync;
    if (std::ranges::find(leaving, state) == leaving.end()) {
        leaving.push_back(std::move(state));
    }
    return Fate::Pass;
}

Status Applier::Core::add_truncation(
    const model::Change& change,
    const model::TransactionHead& head,
    size_t number,
    std::vector<Work>& works,
    std::vector<drivers::TableState>& leaving
) {
    std::vector tables{&catalogue.table(change.schema)};
    for (const auto& other : change.more_tables) {
        tables.push_back(&catalogue.table(other));
    }
    Work now{.change = &change, .table = tables.front(), .transaction = number};
    for (const auto* table : tables) {
        QIAO_TRY(const auto fate, fate_of(*table, head, leaving));
        if (fate == Fate::Apply) {
            now.truncated.push_back(table);
        } else if (fate == Fate::Park) {
            works.push_back(
                {.change = &change,
                 .table = table,
                 .transaction = number,
                 .truncated = {table},
                 .parked = true}
            );
        }
    }
    if (!now.truncated.empty()) {
        now.table = now.truncated.front();
        works.push_back(std::move(now));
    }
    return {};
}

Status Applier::Core::add_row(
    const model::Change& change,
    const model::TransactionHead& head,
    size_t number,
    std::vector<Work>& works,
    std::vector<drivers::TableState>& leaving
) {
    const auto& table = catalogue.table(change.schema);
    const auto columns = table.schema->columns.size();
    const bool old_needed =
        change.op == model::Op::Delete || change.old_image != model::OldImage::Absent;
    const bool new_needed = change.op != model::Op::Delete;
    if ((old_needed && change.old_row.column_count() != columns) ||
        (new_needed && change.new_row.column_count() != columns)) {
        return Error(ErrorCode::PacketMalformed, "row of " + table.schema->table.to_string());
    }
    QIAO_TRY(const auto fate, fate_of(table, head, leaving));
    if (fate != Fate::Pass) {
        works.push_back(
            {.change = &change, .table = &table, .transaction = number, .parked = fate == Fate::Park
            }
        );
    }
    return {};
}

Result<std::vector<Work>> Applier::Core::due_works(
    const std::vector<Fragment>& parts,
    const model::TransactionHead& head,
    size_t number,
    std::vector<drivers::TableState>& leaving
) {
    std::vector<Work> works;
    for (const auto& part : parts) {
        for (const auto& change : part.changes) {
            const auto before = works.size();
            if (change.op == model::Op::Truncate) {
                QIAO_CHECK(add_truncation(change, head, number, works, leaving));
            } else {
                QIAO_CHECK(add_row(change, head, number, works, leaving));
            }
            status.rows_not_due += works.size() == before ? 1 : 0;
        }
    }
    return works;
}

Task<Status> Applier::Core::begin_unit(std::string passed) {
    if (is_planted(Plant::TwoLiveAppliers)) {
        QIAO_CO_TRY(const auto other, co_await session->checkpoint(options.stream));
        checkpoint = other.value_or(checkpoint);
    }
    QIAO_CO_TRY(
        const auto count,
        co_await session->begin_locked(std::move(passed), options.stream, checkpoint)
    );
    if (count != interventions || chains.stale() || !markings.empty()) {
        // Under the lock nobody changes them.
        const auto known = states.all();
        QIAO_CO_CHECK(co_await load_states());
        ask_again_for_lost(known);
        interventions = count;
    }
    co_return co_await save_states();
}

/// A target that was put back, or failed over to a server that lacked its last commits, may have
/// its checkpoint and not the load that this process saw end: it is asked for again.
void Applier::Core::ask_again_for_lost(const std::vector<drivers::TableState>& known) {
    using drivers::TableStatus;
    for (auto state : known) {
        const auto* now = states.find(state.table);
        const bool was = state.status == TableStatus::Live || state.status == TableStatus::Unproven;
        const bool lost = now == nullptr || now->status == TableStatus::Pending ||
                          now->status == TableStatus::Loading;
        const bool loads =
            states.expects_load(state.table) || states.find_load(state.table) != nullptr;
        if (was && lost && !loads) {
            state.status = TableStatus::ResyncAsked;
            mark(std::move(state));
        }
    }
}

Task<Status> Applier::Core::save_leaving(const std::vector<drivers::TableState>& leaving) {
    for (const auto& state : leaving) {
        QIAO_CO_CHECK(co_await session->save_table_state(options.stream, state));
        QIAO_CO_CHECK(co_await session->drop_errors(options.stream, state.table, ""));
        chains.remove_all(state.table);
    }
    co_return Status{};
}

Task<Status> Applier::Core::write_unit(Writer& writer, Unit& what, Mode mode) {
    std::vector<Work> works;
    std::vector<Writer::Place> places;
    std::vector<drivers::TableState> leaving;
    for (const auto& transaction : what.transactions) {
        places.push_back({transaction.after.point, transaction.head.commit, &transaction.head});
        QIAO_CO_TRY(
            auto more, due_works(transaction.parts, transaction.head, places.size() - 1, leaving)
        );
        if (is_planted(Plant::GroupOutOfOrder)) {
            works.insert(works.begin(), more.begin(), more.end());
            continue;
        }
        std::ranges::move(more, std::back_inserter(works));
    }
    QIAO_CO_CHECK(co_await save_leaving(leaving));
    what.leaving = std::move(leaving);
    if (mode == Mode::Careful) {
        co_return co_await writer.write_carefully(std::move(works), std::move(places));
    }
    co_return co_await writer.write(std::move(works), std::move(places));
}

Task<Status> Applier::Core::finish_unit() {
    for (const auto& schema : unsaved_schemas) {
        QIAO_CO_CHECK(co_await session->save_schema(options.stream, schema));
    }
    QIAO_CO_TRY(const auto checked, co_await session->check_constraints());
    if (checked.failure) {
        co_return checked.failure->error;
    }
    co_return Status{};
}

Task<Applier::Core::Attempt> Applier::Core::attempt(Unit& what, Mode mode, StopSignal& stop) {
    using Kind = Attempt::Kind;
    const auto my_turn = co_await turn.take();
    if (doubt) {
        co_return Attempt{Kind::Failed, doubt};
    }
    for (const auto& transaction : what.transactions) {
        if (awaited_load(transaction)) {
            // Began while this unit was on its way here.
            co_return Attempt{.kind = Kind::WaitLoad};
        }
    }
    const auto started = clock.now();
    const auto rows_not_due = status.rows_not_due;
    Status done = co_await connect();
    catalogue.forget_older_than(options.catalogue_age_max);
    if (done) {
        done = co_await look_at_shapes();
    }
    for (const auto& transaction : what.transactions) {
        if (done) {
            done = co_await bind(transaction);
        }
    }
    if (!done) {
        co_await abandon(done.error());
        co_return Attempt{Kind::Failed, done.error()};
    }
    Writer writer(*session, chains, options);
    done =
        co_await begin_unit(what.transactions.empty() ? "" : what.transactions.front().head.origin);
    if (done) {
        done = co_await write_unit(writer, what, mode);
    }
    if (done) {
        done = co_await finish_unit();
    }
    if (!done) {
        status.rows_not_due = rows_not_due;
        co_await abandon(done.error());
        const auto cure = cure_of(done.error());
        const bool row_by_row = mode == Mode::Sets && !what.transactions.empty() &&
                                (cure == Cure::Policy || cure == Cure::Mend);
        co_return Attempt{row_by_row ? Kind::Careful : Kind::Failed, done.error()};
    }
    auto outcome = co_await commit(what.after, stop);
    if (outcome.kind == Kind::Committed) {
        markings.clear();
        chains.keep_changes();
        if (chains.stale() && session) {
            // Else at the next unit, as after a commit whose reply was lost with the connection.
            (void)co_await load_states();
        }
        note_committed(what, writer, clock.now() - started);
    } else {
        status.rows_not_due = rows_not_due;
        co_await abandon(*outcome.error);
    }
    co_return outcome;
}

Task<Applier::Core::Attempt> Applier::Core::commit(drivers::CheckpointRow after, StopSignal& stop) {
    using Kind = Attempt::Kind;
    if (is_planted(Plant::CheckpointApart)) {
        (void)co_await session->commit();
        (void)co_await session->begin();
    }
    const auto outcome = co_await session->advance_and_commit(options.stream, checkpoint, after);
    switch (outcome.kind) {
        case drivers::CommitOutcome::Kind::Committed:
            co_return Attempt{};
        case drivers::CommitOutcome::Kind::Failed:
            co_return Attempt{Kind::Failed, outcome.error.value_or(Error(ErrorCode::DbLost))};
        case drivers::CommitOutcome::Kind::Unknown:
            break;
    }
    session.reset();
    const auto committed = co_await settle(std::move(after), stop);
    if (!committed) {
        co_return Attempt{Kind::Failed, committed.error()};
    }
    if (!*committed) {
        co_return Attempt{Kind::Failed, Error(ErrorCode::DbLost, "COMMIT did not take effect")};
    }
    co_return Attempt{};
}

Task<Result<bool>> Applier::Core::stands_at(drivers::CheckpointRow row) {
    QIAO_CO_CHECK(co_await connect());
    auto done = co_await session->begin();
    if (done) {
        // Waits for the backend of the lost connection, if that still runs.
        const auto locked = co_await session->lock_checkpoint(options.stream, std::move(row));
        done = locked ? Status{} : Status(locked.error());
    }
    if (!done && is_lost(done.error())) {
        session.reset();
        co_return done.error();
    }
    const auto undone = co_await session->rollback();
    if (!undone) {
        session.reset();
    }
    if (!done && !done.error().is(ErrorCode::ApplyFenced)) {
        co_return done.error();
    }
    co_return done.has_value();
}

Task<Result<bool>> Applier::Core::settle(drivers::CheckpointRow after, StopSignal& stop) {
    Backoff pause(options.retry_first, options.retry_most);
    for (;;) {
        auto stands = co_await stands_at(checkpoint);
        if (stands && *stands) {
            co_return false;
        }
        if (stands) {
            stands = co_await stands_at(after);
            if (stands && *stands) {
                co_return true;
            }
            if (stands) {
                co_return Error(ErrorCode::ApplyFenced, database.display());
            }
        }
        status.state = ApplyState::Retrying;
        status.last_error = stands.error();
        QIAO_CO_CHECK(co_await sleep_for(executor, clock, pause.next(rng), stop));
    }
}

void Applier::Core::report(
    const drivers::CheckpointRow& after, size_t transactions, size_t rows, WallTime newest
) {
    checkpoint = after;
    unsaved_schemas.clear();
    markings.clear();
    unsaved_states.clear();
    ++status.groups;
    status.transactions += transactions;
    status.rows += rows;
    status.tries = 0;
    status.last_error.reset();
    backoff.reset();
    observer.applied({after.point, after.position, after.digest, transactions, rows, newest});
}

void Applier::Core::note_committed(const Unit& what, const Writer& writer, Duration elapsed) {
    for (const auto& state : what.leaving) {
        states.set(state);
    }
    status.divergences += writer.divergences();
    status.diverted += writer.laid_aside().size();
    const auto newest =
        what.transactions.empty() ? WallTime{} : what.transactions.back().head.commit_time;
    report(what.after, what.transactions.size(), writer.rows(), newest);
    for (const auto& row : writer.laid_aside()) {
        observer.diverged(row);
    }
    if (what.transactions.empty()) {
        return;
    }
    status.group_rows = what.rows;
    // Twice as many at most, so that one quick group does not make the next one long.
    const auto goal = options.group_work_max.count();
    const auto spent = std::max<int64_t>(elapsed.count(), 1);
    const auto pace =
        static_cast<double>(what.rows) * static_cast<double>(goal) / static_cast<double>(spent);
    if (what.rows >= rows_goal || pace < static_cast<double>(rows_goal)) {
        const auto most = std::min(options.group_rows_max, rows_goal * 2);
        const auto wanted = std::min(pace, static_cast<double>(most));
        rows_goal = std::clamp<size_t>(static_cast<size_t>(wanted), 100, most);
    }
    const auto seconds = static_cast<double>(spent) / 1e9;
    status.rows_per_second =
        0.8 * status.rows_per_second + 0.2 * static_cast<double>(what.rows) / seconds;
}

}  // namespace qiao::apply
