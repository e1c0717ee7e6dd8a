#include "qiao/engine/local_target.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::engine {
namespace {

Status to_status(const drivers::CommitOutcome& outcome) {
    if (outcome.kind == drivers::CommitOutcome::Kind::Committed) {
        return {};
    }
    // An unknown commit of load work is done again from the start of its table.
    return outcome.error.value_or(Error(ErrorCode::DbLost));
}

const drivers::TableState* find_state(
    const std::vector<drivers::TableState>& states, const model::TableName& table
) {
    const auto found = std::ranges::find(states, table, &drivers::TableState::table);
    return found == states.end() ? nullptr : &*found;
}

class LocalPart final : public FlowTarget::Part {
public:
    LocalPart(std::unique_ptr<drivers::TargetSession> session, std::string what)
        : session_(std::move(session)), what_(std::move(what)) {}

    Task<Status> start(model::TableSchema schema, drivers::LoadFormat format) {
        QIAO_CO_CHECK(co_await session_->begin());
        co_return co_await session_->begin_copy(std::move(schema), format);
    }

    Task<Status> write(capture::LoadChunk chunk) override {
        sent_ += chunk.row_count;
        co_return co_await session_->copy(chunk.rows);
    }

    Task<Status> finish() override {
        QIAO_CO_TRY(const auto written, co_await session_->end_copy());
        if (written != sent_) {
            co_return Error(
                ErrorCode::EngineLoadFailed,
                fmt::format("{}: {} rows read, {} written", what_, sent_, written)
            );
        }
        co_return to_status(co_await session_->commit());
    }

private:
    std::unique_ptr<drivers::TargetSession> session_;
    std::string what_;
    uint64_t sent_ = 0;
};

}  // namespace

model::TableName LocalTarget::at_target(const model::TableName& name) const {
    const auto found = parts_.renamed.find(name);
    return found == parts_.renamed.end() ? name : found->second;
}

Task<Result<TargetState>> LocalTarget::state() {
    QIAO_CO_TRY(const auto session, co_await parts_.database.connect());
    QIAO_CO_CHECK(co_await session->prepare());
    TargetState state;
    QIAO_CO_TRY(state.tables, co_await session->table_states(parts_.stream));
    QIAO_CO_TRY(const auto checkpoint, co_await session->checkpoint(parts_.stream));
    if (checkpoint) {
        state.tip = {checkpoint->point, checkpoint->digest, checkpoint->position};
    }
    if (parts_.inbox_tip) {
        const auto inbox = parts_.inbox_tip();
        if (inbox.point > state.tip.point) {
            state.tip = inbox;
        }
    }
    for (const auto format :
         {drivers::LoadFormat::PgCopyBinary,
          drivers::LoadFormat::PgCopyText,
          drivers::LoadFormat::Tuples}) {
        if (session->accepts(format)) {
            state.accepts.push_back(format);
        }
    }
    co_return state;
}

Task<Result<drivers::CreateReport>> LocalTarget::create(
    drivers::Structure structure, drivers::StructurePhase phase
) {
    co_return co_await parts_.structures.create(structure, phase);
}

Task<Status> LocalTarget::begin_table(
    drivers::TargetSession& session,
    const model::TableName& table,
    const LoadSession& load,
    const std::vector<drivers::TableState>& states
) {
    const auto target = at_target(table);
    const auto* known = find_state(states, table);
    if (known == nullptr || known->status == drivers::TableStatus::Pending) {
        QIAO_CO_TRY(const bool empty, co_await session.is_empty(target));
        if (!empty) {
            co_return Error(ErrorCode::EngineTargetNotEmpty, target.to_string());
        }
    } else {
        QIAO_CO_CHECK(co_await session.delete_all(target));
    }
    co_return co_await session.save_table_state(
        parts_.stream, {table, load.generation, drivers::TableStatus::Loading, load.joined_at}
    );
}

Task<Status> LocalTarget::begin_load(LoadSession load) {
    QIAO_CO_TRY(const auto session, co_await parts_.database.connect());
    QIAO_CO_TRY(const auto states, co_await session->table_states(parts_.stream));
    QIAO_CO_CHECK(co_await session->begin());
    for (const auto& table : load.tables) {
        QIAO_CO_CHECK(co_await begin_table(*session, table, load, states));
    }
    co_return to_status(co_await session->commit());
}

Task<Result<std::unique_ptr<FlowTarget::Part>>> LocalTarget::open_part(
    capture::LoadPart part, drivers::LoadFormat format, LoadSession /*session*/
) {
    QIAO_CO_TRY(auto session, co_await parts_.database.connect());
    auto schema = part.schema;
    schema.table = at_target(schema.table);
    auto local = std::make_unique<LocalPart>(
        std::move(session), fmt::format("{} part {}", schema.table.to_string(), part.number)
    );
    QIAO_CO_CHECK(co_await local->start(std::move(schema), format));
    co_return std::unique_ptr<Part>(std::move(local));
}

Task<Status> LocalTarget::finish_load(LoadSession load) {
    QIAO_CO_TRY(const auto session, co_await parts_.database.connect());
    QIAO_CO_CHECK(co_await session->begin());
    for (const auto& table : load.tables) {
        QIAO_CO_CHECK(co_await session->save_table_state(
            parts_.stream, {table, load.generation, drivers::TableStatus::Live, load.joined_at}
        ));
    }
    co_return to_status(co_await session->commit());
}

}  // namespace qiao::engine
