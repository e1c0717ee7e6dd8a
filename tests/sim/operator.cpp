#include "operator.h"

#include "qiao/apply/intervention.h"
#include "qiao/engine/laid_aside.h"

namespace qiao::sim {

Operator::~Operator() {
    stop_.request();
    while (replaying_ && world_.clock.step()) {
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
    if (!replaying_) {
        replaying_ = true;
        scope_.spawn(run_replay(skips));
    }
}

Task<void> Operator::run_replay(bool skips) {
    const auto done = co_await replay_all(skips);
    if (!done) {
        trouble_ = done.error().to_string();
    }
    replaying_ = false;
}

Task<Status> Operator::replay_all(bool skips) {
    const auto database = world_.open_target();
    apply::Intervention desk(*database, world_.clock, world_.stream());
    apply::ReplayOptions options;
    options.stream = world_.stream();
    options.open = [this](ByteView sealed) {
        return engine::open_laid_aside(sealed, world_.stream(), world_.right().identity.wrapping);
    };
    QIAO_CO_TRY(const auto report, co_await desk.replay(std::move(options), stop_));
    counts_.replayed += report.applied;
    if (skips) {
        for (const auto& row : report.refused) {
            QIAO_CO_TRY(const auto dropped, co_await desk.skip(row.table, row.key_text));
            counts_.skipped += dropped;
        }
    }
    co_return Status{};
}

}  // namespace qiao::sim
