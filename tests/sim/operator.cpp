#include "operator.h"

#include "qiao/engine/laid_aside.h"

#include <algorithm>
#include <map>

namespace qiao::sim {

Operator::~Operator() {
    stop_.request();
    while (busy_ && world_.clock.step()) {
    }
}

void Operator::compare(Wish wish) {
    auto& process = world_.left().process;
    if (comparing() || !process) {
        return;
    }
    agent::VerifyRequest request;
    request.flow = world_.flow_name();
    request.reopen = wish.reopen;
    request.options.repair = wish.repair;
    const auto id = process->verify(std::move(request));
    id_ = id ? *id : "";
    if (!id) {
        trouble_ = id.error().to_string();
    }
}

std::optional<verify::Verdict> Operator::ended() {
    if (!comparing()) {
        return std::nullopt;
    }
    auto& process = world_.left().process;
    const auto found = process ? process->verification(id_) : Error(ErrorCode::VerifyNoRun);
    if (!found) {
        id_.clear();  // with the process that made it
        trouble_ = found.error().to_string();
        return std::nullopt;
    }
    if (!(*found)->done()) {
        return std::nullopt;
    }
    id_.clear();
    const auto& outcome = (*found)->outcome();
    if (!outcome) {
        trouble_ = outcome.error().to_string();
        return std::nullopt;
    }
    ++counts_.comparisons;
    counts_.repairs += outcome->repairs.size();
    trouble_ = render(*outcome, Language::English);
    return outcome->report.verdict();
}

void Operator::replay(bool skips) {
    if (!busy_) {
        begin(replay_all(skips));
    }
}

void Operator::pause(model::TableName table) {
    if (!busy_) {
        begin(pause_one(std::move(table)));
    }
}

void Operator::resync(model::TableName table) {
    if (!busy_) {
        begin(resync_one(std::move(table)));
    }
}

void Operator::resume() {
    if (!busy_) {
        begin(resume_all());
    }
}

void Operator::begin(Task<Status> task) {
    busy_ = true;
    scope_.spawn(run(std::move(task)));
}

Task<void> Operator::run(Task<Status> task) {
    const auto done = co_await std::move(task);
    if (!done) {
        trouble_ = done.error().to_string();
    }
    busy_ = false;
}

apply::ReplayOptions Operator::replay_options() const {
    apply::ReplayOptions options;
    options.stream = world_.stream();
    options.open = engine::opening(world_.stream(), world_.right().identity.wrapping);
    return options;
}

/// `qiao errors`: whatever waits all the while is told.
Task<Status> Operator::look_at_errors(apply::Intervention& desk) {
    const auto before = world_.target_database.committed().errors;
    QIAO_CO_TRY(const auto told, co_await desk.errors({}));
    QIAO_CO_TRY(const auto counts, co_await desk.open_errors());
    std::map<model::TableName, uint64_t> waiting;
    for (const auto& [number, error] : world_.target_database.committed().errors) {
        const bool is_told =
            std::ranges::find(told, number, &drivers::ErrorRow::number) != told.end();
        const bool waits = error.first == world_.stream() && before.contains(number);
        waiting[error.second.table] += waits ? 1 : 0;
        if (waits && !is_told && told.size() < drivers::ErrorRange{}.rows_most) {
            failure_ = "a change that waits is not told";
        }
    }
    for (const auto& [table, count] : waiting) {
        const auto counted = counts.rows.find(table);
        if (count > (counted == counts.rows.end() ? 0 : counted->second)) {
            failure_ = "changes that wait are not counted";
        }
    }
    co_return Status{};
}

Task<Status> Operator::replay_all(bool skips) {
    const auto database = world_.open_target();
    apply::Intervention desk(*database, world_.clock, world_.stream());
    QIAO_CO_CHECK(co_await look_at_errors(desk));
    QIAO_CO_TRY(const auto report, co_await desk.replay(replay_options(), stop_));
    counts_.replayed += report.applied;
    if (skips) {
        for (const auto& row : report.refused) {
            QIAO_CO_TRY(const auto dropped, co_await desk.skip(row.table, row.key_text));
            counts_.skipped += dropped;
        }
    }
    co_return Status{};
}

Task<Status> Operator::resume_all() {
    const auto database = world_.open_target();
    apply::Intervention desk(*database, world_.clock, world_.stream());
    QIAO_CO_TRY(const auto tables, co_await desk.tables());
    for (const auto& state : tables) {
        if (state.status != drivers::TableStatus::Paused) {
            continue;
        }
        auto options = replay_options();
        options.table = state.table;
        options.resume = true;
        QIAO_CO_TRY(const auto report, co_await desk.replay(std::move(options), stop_));
        counts_.replayed += report.applied;
        ++counts_.resumed;
    }
    co_return Status{};
}

Task<Status> Operator::pause_one(model::TableName table) {
    const auto database = world_.open_target();
    apply::Intervention desk(*database, world_.clock, world_.stream());
    co_return co_await desk.pause(std::move(table));
}

Task<Status> Operator::resync_one(model::TableName table) {
    const auto database = world_.open_target();
    apply::Intervention desk(*database, world_.clock, world_.stream());
    co_return co_await desk.resync(std::move(table));
}

}  // namespace qiao::sim
