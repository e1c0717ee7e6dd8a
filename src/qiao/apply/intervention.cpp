#include "qiao/apply/intervention.h"

#include "qiao/apply/internal/chains.h"
#include "qiao/apply/internal/doubt.h"
#include "qiao/apply/internal/replay.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::apply {

using drivers::TableStatus;

Intervention::Intervention(drivers::TargetDatabase& database, Clock& clock, StreamId stream)
    : database_(database), clock_(clock), stream_(stream) {}

Intervention::~Intervention() = default;

Task<Status> Intervention::connect() {
    if (session_) {
        co_return Status{};
    }
    QIAO_CO_TRY(session_, co_await database_.connect());
    // Tables of ours that are not there are not made: nothing was ever applied here.
    const auto checkpoint = co_await session_->checkpoint(stream_);
    if (!checkpoint && !checkpoint.error().is(ErrorCode::DbNoTable)) {
        co_return checkpoint.error();
    }
    if (!checkpoint || !*checkpoint) {
        co_return Error(ErrorCode::ApplyNoStream, stream_.to_string());
    }
    co_return Status{};
}

Task<Status> Intervention::connect_to_write() {
    QIAO_CO_CHECK(co_await connect());
    co_return co_await session_->prepare();
}

Task<Result<std::vector<drivers::TableState>>> Intervention::tables() {
    QIAO_CO_CHECK(co_await connect());
    co_return co_await session_->table_states(stream_);
}

Task<Result<drivers::OpenErrors>> Intervention::open_errors() {
    QIAO_CO_CHECK(co_await connect());
    co_return co_await session_->open_errors(stream_);
}

Task<Result<std::vector<drivers::ErrorRow>>> Intervention::errors(drivers::ErrorRange range) {
    QIAO_CO_CHECK(co_await connect());
    co_return co_await session_->read_errors(stream_, std::move(range));
}

Task<Result<ReplayReport>> Intervention::replay(ReplayOptions options, StopSignal& stop) {
    QIAO_CO_CHECK(co_await connect_to_write());
    if (options.resume) {
        QIAO_CO_TRY(const auto state, co_await state_of(*options.table));
        if (state.status != TableStatus::Paused) {
            co_return Error(ErrorCode::ApplyTableState, state.table.to_string() + ": not paused");
        }
    }
    Replay replay(*session_, clock_, std::move(options));
    co_return co_await replay.run(stop);
}

Task<Status> Intervention::within(Task<Status> act) {
    QIAO_CO_CHECK(co_await session_->begin());
    auto done = co_await session_->intervene(stream_);
    if (done) {
        done = co_await std::move(act);
    }
    if (!done) {
        (void)co_await session_->rollback();
        co_return done;
    }
    const auto outcome = co_await session_->commit();
    if (outcome.kind != drivers::CommitOutcome::Kind::Committed) {
        co_return outcome.error.value_or(Error(ErrorCode::DbLost));
    }
    co_return Status{};
}

Task<Result<drivers::TableState>> Intervention::state_of(model::TableName table) {
    QIAO_CO_TRY(const auto states, co_await session_->table_states(stream_));
    const auto state = std::ranges::find(states, table, &drivers::TableState::table);
    if (state == states.end()) {
        co_return Error(
            ErrorCode::ApplyTableState, table.to_string() + ": not a table of this stream"
        );
    }
    co_return *state;
}

Task<Status> Intervention::change_state(model::TableName table, TableStatus to) {
    QIAO_CO_TRY(auto state, co_await state_of(table));
    const bool flows = state.status == TableStatus::Live || state.status == TableStatus::Unproven;
    const bool stands = state.status == TableStatus::Paused ||
                        state.status == TableStatus::NeedsResync ||
                        state.status == TableStatus::ResyncAsked;
    if (!flows && !(stands && to == TableStatus::ResyncAsked)) {
        co_return Error(
            ErrorCode::ApplyTableState,
            fmt::format("{}: {}", table.to_string(), drivers::name_of(state.status))
        );
    }
    // A doubt outlives a pause.
    const bool doubtful = state.status == TableStatus::Unproven && to == TableStatus::Paused;
    state.note = doubtful ? "unproven before it was paused" : "";
    state.status = to;
    co_return co_await session_->save_table_state(stream_, std::move(state));
}

Task<Status> Intervention::pause(model::TableName table) {
    QIAO_CO_CHECK(co_await connect_to_write());
    co_return co_await within(change_state(std::move(table), TableStatus::Paused));
}

Task<Status> Intervention::resync(model::TableName table) {
    QIAO_CO_CHECK(co_await connect_to_write());
    co_return co_await within(change_state(std::move(table), TableStatus::ResyncAsked));
}

Task<Status> Intervention::drop(model::TableName table, std::string key, uint64_t& dropped) {
    const auto count = [&](const drivers::OpenErrors& open) {
        const auto rows = open.rows.find(table);
        return rows == open.rows.end() ? 0 : rows->second;
    };
    QIAO_CO_TRY(auto state, co_await state_of(table));
    QIAO_CO_TRY(const auto before, co_await session_->open_errors(stream_));
    QIAO_CO_CHECK(co_await drop_chain(*session_, stream_, table, key));
    QIAO_CO_TRY(const auto after, co_await session_->open_errors(stream_));
    dropped = count(before) - count(after);
    if (dropped == 0) {
        co_return Error(
            ErrorCode::ApplyTableState,
            fmt::format("{}: nothing waits behind {}", table.to_string(), key)
        );
    }
    // What was dropped lies before the checkpoint, and before that nothing proves the table.
    QIAO_CO_TRY(const auto checkpoint, co_await session_->checkpoint(stream_));
    if (checkpoint && put_in_doubt(state, checkpoint->position, "changes were skipped")) {
        QIAO_CO_CHECK(co_await session_->save_table_state(stream_, std::move(state)));
    }
    co_return Status{};
}

Task<Result<uint64_t>> Intervention::skip(model::TableName table, std::string key) {
    QIAO_CO_CHECK(co_await connect_to_write());
    uint64_t dropped = 0;
    QIAO_CO_CHECK(co_await within(drop(std::move(table), std::move(key), dropped)));
    co_return dropped;
}

}  // namespace qiao::apply
