#include "qiao/apply/internal/core.h"

#include <algorithm>

// A transaction too large to hold: its fragments are applied as they come, inside one target
// transaction that nobody else sees. When that breaks off, the fragments are gone and the feeder
// starts again.
namespace qiao::apply {

Task<Status> Applier::Core::apply_streamed(StopSignal& stop) {
    QIAO_CO_CHECK(co_await wait_for_load(*assembling, stop));
    status.state = ApplyState::Applying;
    const auto end = co_await stream_transaction(stop);
    if (end && *end == Streamed::Committed) {
        co_return Status{};
    }
    const auto error = end ? Error(ErrorCode::ApplyRewind) : end.error();
    co_await abandon(error);
    if (!end) {
        assembling.reset();
        // Shown and waited for like any failure.
        QIAO_CO_CHECK(co_await pause_after(error, stop));
        co_return Error(ErrorCode::ApplyRewind, error.to_string());
    }
    if (*end == Streamed::WaitLoad) {
        QIAO_CO_CHECK(co_await wait_for_load(*assembling, stop));
        assembling.reset();
        co_return error;
    }
    co_return stop.requested() ? Status(Error(ErrorCode::Cancelled)) : Status{};
}

Task<Result<Applier::Core::Streamed>> Applier::Core::stream_transaction(StopSignal& stop) {
    const auto my_turn = co_await turn.take();
    if (doubt) {
        co_return *doubt;
    }
    const auto started = clock.now();
    auto transaction = *std::exchange(assembling, std::nullopt);
    QIAO_CO_CHECK(co_await connect());
    catalogue.forget_older_than(options.catalogue_age_max);
    QIAO_CO_CHECK(co_await begin_unit(transaction.head.origin));
    Writer writer(*session, chains, options);
    Unit unit_of_one{.after = checkpoint};
    for (;;) {
        if (awaited_load(transaction)) {
            assembling = std::move(transaction);
            co_return Streamed::WaitLoad;
        }
        QIAO_CO_CHECK(co_await write_fragments(writer, transaction));
        unit_of_one.rows += std::exchange(transaction.rows, 0);
        if (transaction.parts.back().last) {
            break;
        }
        if (stop.requested()) {
            co_return Streamed::Ended;
        }
        if (const auto end = co_await next_fragment(transaction)) {
            co_return *end;
        }
    }
    auto& after = unit_of_one.after;
    after.position = transaction.head.commit;
    const auto& mark = transaction.parts.back().mark;
    if (mark.point > after.point) {
        after.point = mark.point;
        after.digest = mark.digest;
    }
    QIAO_CO_CHECK(co_await finish_unit());
    const auto outcome = co_await commit(after, stop);
    if (outcome.kind != Attempt::Kind::Committed) {
        co_return *outcome.error;
    }
    chains.keep_changes();
    transaction.parts.clear();
    unit_of_one.transactions.push_back(std::move(transaction));
    note_committed(unit_of_one, writer, clock.now() - started);
    co_return Streamed::Committed;
}

Task<std::optional<Applier::Core::Streamed>> Applier::Core::next_fragment(Transaction& transaction
) {
    const auto expected = transaction.parts.back().number + 1;
    transaction.parts.clear();
    for (;;) {
        auto item = co_await next();
        if (!item) {
            co_return Streamed::Ended;
        }
        if (auto* definition = std::get_if<SchemaDefinition>(&*item)) {
            add_schema(std::move(definition->schema));
            continue;
        }
        auto* fragment = std::get_if<Fragment>(&*item);
        if (fragment == nullptr || fragment->number != expected ||
            fragment->head.commit != transaction.head.commit) {
            held = std::move(item);
            co_return Streamed::Dropped;
        }
        transaction.head = fragment->head;
        transaction.rows = fragment->changes.size();
        transaction.parts.push_back(std::move(*fragment));
        co_return std::nullopt;
    }
}

/// The parts at hand, as sets behind a savepoint; row by row where that fails.
Task<Status> Applier::Core::write_fragments(Writer& writer, Transaction& transaction) {
    QIAO_CO_CHECK(co_await look_at_shapes());
    QIAO_CO_CHECK(co_await bind(transaction));
    std::vector<drivers::TableState> leaving;
    QIAO_CO_TRY(auto works, due_works(transaction.parts, transaction.head, 0, leaving));
    QIAO_CO_CHECK(co_await save_leaving(leaving));
    for (auto& state : leaving) {
        mark(Stand{state.table, state.status, state.note});
    }
    QIAO_CO_CHECK(co_await save_states());
    const std::vector places{
        Writer::Place{checkpoint.point, transaction.head.commit, &transaction.head}
    };
    const auto truncates = [](const Work& work) { return !work.truncated.empty(); };
    // A TRUNCATE and open errors use the savepoint themselves.
    if (chains.empty() && std::ranges::none_of(works, truncates)) {
        QIAO_CO_CHECK(co_await session->savepoint());
        const auto done = co_await writer.write(works, places);
        if (!done && (is_lost(done.error()) || cure_of(done.error()) == Cure::Retry)) {
            co_return done.error();
        }
        if (!done) {
            QIAO_CO_CHECK(co_await session->rollback_to_savepoint());
        }
        QIAO_CO_CHECK(co_await session->release_savepoint());
        if (done) {
            co_return Status{};
        }
    }
    co_return co_await writer.write_carefully(std::move(works), places);
}

}  // namespace qiao::apply
