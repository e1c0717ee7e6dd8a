#include "qiao/engine/local_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace qiao::engine {
namespace {

class LocalPart final : public FlowTarget::Part {
public:
    LocalPart(const LocalTarget::Parts& parts, std::shared_ptr<IdleSessions> idle, std::string what)
        : loader_(parts.database, parts.applier, idle->take()),
          idle_(std::move(idle)),
          what_(std::move(what)) {}

    Task<Status> start(apply::LoadPart part) { co_return co_await loader_.begin(std::move(part)); }

    Task<Status> write(capture::LoadChunk chunk) override {
        sent_ += chunk.row_count;
        const bool whole = chunk.row_count > 0;
        co_return co_await loader_.rows({std::move(chunk.rows), whole, std::move(chunk.withheld)});
    }

    Task<Status> finish() override {
        QIAO_CO_TRY(const auto written, co_await loader_.end());
        idle_->give(loader_.release());
        if (written != sent_) {
            co_return Error(
                ErrorCode::EngineLoadFailed,
                fmt::format("{}: {} rows read, {} written", what_, sent_, written)
            );
        }
        co_return Status{};
    }

private:
    apply::Loader loader_;
    std::shared_ptr<IdleSessions> idle_;
    std::string what_;
    uint64_t sent_ = 0;
};

/// The applier's states are in the order of their names.
drivers::TableStatus status_of(
    const std::vector<drivers::TableState>& states, const model::TableName& table
) {
    const auto found = std::ranges::lower_bound(states, table, {}, &drivers::TableState::table);
    return found != states.end() && found->table == table ? found->status
                                                          : drivers::TableStatus::Pending;
}

/// Rows would go where nobody looks for them if both ends disagreed.
Status same_name(
    const model::TableName& table, const model::TableName& here, const model::TableName& there
) {
    if (here != there) {
        return Error(
            ErrorCode::Config,
            fmt::format(
                "`rename`: {} is {} here and {} at the source",
                table.to_string(),
                here.to_string(),
                there.to_string()
            )
        );
    }
    return {};
}

}  // namespace

Task<Result<TargetState>> LocalTarget::state() {
    TargetState state;
    state.tip = parts_.tip();
    state.applied = parts_.applier.checkpoint().point;
    state.tables = parts_.applier.table_states();
    QIAO_CO_TRY(const auto session, co_await parts_.database.connect());
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
    if (!parts_.may_create) {
        co_return Error(
            ErrorCode::EngineCreateRefused, fmt::format("{} tables", structure.tables.size())
        );
    }
    for (const auto& pair : structure.tables) {
        QIAO_CO_CHECK(
            same_name(pair.source, parts_.applier.names().target_of(pair.source), pair.target)
        );
    }
    co_return co_await parts_.structures.create(std::move(structure), phase);
}

Task<Result<drivers::CreateReport>> LocalTarget::advance_sequences(
    std::vector<drivers::SequenceValue> values
) {
    std::set<model::TableName> ours;
    for (const auto& state : parts_.applier.table_states()) {
        ours.insert(parts_.applier.names().target_of(state.table));
    }
    for (const auto& value : values) {
        if (!ours.contains(value.table)) {
            co_return Error(ErrorCode::DbNoTable, value.table.to_string());
        }
    }
    co_return co_await parts_.structures.advance_sequences(std::move(values));
}

/// Both ends mean the same tables and columns.
Status LocalTarget::check_names(const LoadSession& load) const {
    const auto& names = parts_.applier.names();
    if (names.of(load.tables) == load.names) {
        return {};
    }
    for (const auto& table : load.tables) {
        QIAO_CHECK(same_name(table, names.target_of(table), load.names.target_of(table)));
    }
    return Error(ErrorCode::Config, "`rename`: both ends name other columns");
}

Task<Status> LocalTarget::adopt(LoadSession load, std::vector<model::TableSchema> schemas) {
    QIAO_CO_CHECK(check_names(load));
    apply::Loader loader(parts_.database, parts_.applier);
    for (auto& schema : schemas) {
        apply::LoadPart part;
        part.schema = std::move(schema);
        part.generation = load.generation;
        part.joined_at = load.joined_at;
        QIAO_CO_CHECK(co_await loader.adopt(std::move(part)));
    }
    co_return Status{};
}

Task<Status> LocalTarget::announce_loads(std::vector<model::TableName> tables) {
    apply::Loader loader(parts_.database, parts_.applier);
    co_return co_await loader.announce(std::move(tables));
}

Task<Status> LocalTarget::begin_load(LoadSession load) {
    QIAO_CO_CHECK(check_names(load));
    const auto states = parts_.applier.table_states();
    const auto& names = parts_.applier.names();
    QIAO_CO_TRY(const auto session, co_await parts_.database.connect());
    for (const auto& table : load.tables) {
        if (status_of(states, table) != drivers::TableStatus::Pending) {
            continue;
        }
        const auto target = names.target_of(table);
        QIAO_CO_TRY(const bool empty, co_await session->is_empty(target));
        if (!empty) {
            co_return Error(ErrorCode::EngineTargetNotEmpty, target.to_string());
        }
    }
    co_return Status{};
}

Task<Result<std::unique_ptr<FlowTarget::Part>>> LocalTarget::open_part(
    capture::LoadPart part, drivers::LoadFormat format, LoadSession session
) {
    auto local = std::make_unique<LocalPart>(
        parts_, idle_, fmt::format("{} part {}", part.schema.table.to_string(), part.number)
    );
    apply::LoadPart load;
    load.schema = std::move(part.schema);
    load.generation = session.generation;
    load.joined_at = session.joined_at;
    load.number = part.number;
    load.parts = part.parts;
    load.format = format;
    load.begins_again = parts_.loads_begin_again;
    load.announced = !parts_.loads_begin_again;
    QIAO_CO_CHECK(co_await local->start(std::move(load)));
    co_return std::unique_ptr<Part>(std::move(local));
}

Task<Status> LocalTarget::finish_load(LoadSession load) {
    idle_->clear();
    const auto states = parts_.applier.table_states();
    for (const auto& table : load.tables) {
        if (status_of(states, table) != drivers::TableStatus::Live) {
            co_return Error(ErrorCode::EngineLoadFailed, table.to_string());
        }
    }
    co_return Status{};
}

Task<Result<std::vector<model::TableName>>> LocalTarget::resyncs_asked() {
    std::vector<model::TableName> asked;
    for (const auto& state : parts_.applier.doubtful_tables()) {
        if (state.status == drivers::TableStatus::ResyncAsked) {
            asked.push_back(state.table);
        }
    }
    co_return asked;
}

Task<Status> LocalTarget::start_apply() {
    parts_.applier.expect_no_loads();
    parts_.start_apply();
    co_return Status{};
}

}  // namespace qiao::engine
