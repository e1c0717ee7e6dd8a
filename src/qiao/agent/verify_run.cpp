#include "qiao/agent/verify_run.h"

#include "qiao/agent/kept_names.h"
#include "qiao/agent/kept_selection.h"
#include "qiao/common/async/sleep.h"

#include <algorithm>

namespace qiao::agent {
namespace {

constexpr Duration kLookEvery = std::chrono::milliseconds(50);

bool is_known(const std::vector<drivers::TableState>& states, const model::TableName& table) {
    return std::ranges::find(states, table, &drivers::TableState::table) != states.end();
}

/// A pattern that means exactly this table.
std::string exactly(const model::TableName& table) {
    const auto quoted = [](const std::string& name) {
        std::string text = "\"";
        for (const char c : name) {
            text += c == '"' ? std::string("\"\"") : std::string(1, c);
        }
        return text + "\"";
    };
    return quoted(table.schema) + "." + quoted(table.name);
}

}  // namespace

VerifyRun::VerifyRun(EventLoop& loop, Storage& storage, Rng& rng, VerifyRunOptions options)
    : loop_(loop),
      storage_(storage),
      rng_(rng),
      options_(std::move(options)),
      stream_(sync_stream(options_.sync).value()),
      scope_(loop) {}

VerifyRun::~VerifyRun() = default;

Task<Status> VerifyRun::open() {
    auto& sync = options_.sync;
    QIAO_CO_TRY(sync.names, co_await merge_names(storage_, sync.state, std::move(sync.names)));
    QIAO_CO_TRY(
        sync.selection, co_await merge_selection(storage_, sync.state, std::move(sync.selection))
    );
    const drivers::postgres::Runtime runtime{loop_, loop_, loop_};
    SourceChoice choice;
    choice.timed = sync.timed;
    choice.selection = sync.selection;
    const auto& from = options_.sync.from;
    const auto& to = options_.sync.to;
    QIAO_CO_TRY(source_, make_source(runtime, from, choice, rng_, scope_.stop()));
    QIAO_CO_TRY(target_, make_target(runtime, to, scope_.stop(), ""));
    QIAO_CO_TRY(source_reader_, co_await make_reader(runtime, from, choice, scope_.stop()));
    QIAO_CO_TRY(target_reader_, co_await make_reader(runtime, to, {}, scope_.stop()));
    const auto brake = options_.comparison.rows_per_second;
    source_side_ = std::make_unique<verify::LocalSide>(
        verify::LocalSide::Parts{loop_, loop_, *source_reader_}, brake
    );
    target_side_ = std::make_unique<verify::LocalSide>(
        verify::LocalSide::Parts{loop_, loop_, *target_reader_}, brake
    );
    co_return co_await look_for_sync();
}

/// What the target knows of a sync between the two, and whether some process runs it now.
Task<Status> VerifyRun::look_for_sync() {
    QIAO_CO_TRY(session_, co_await target_.database->connect());
    auto states = co_await session_->table_states(stream_);
    if (!states) {
        // No table of ours: no sync was ever here. The session may be of no use after the error.
        if (states.error().transient()) {
            co_return states.error();
        }
        QIAO_CO_TRY(session_, co_await target_.database->connect());
        co_return Status{};
    }
    states_ = *std::move(states);
    auto lock = co_await storage_.lock(options_.sync.state + "/lock");
    followed_ = !lock && lock.error().is(ErrorCode::StorageLocked);
    co_return Status{};
}

Task<Result<std::vector<verify::TablePair>>> VerifyRun::pairs() {
    QIAO_CO_TRY(const auto choice, co_await source_->choose(options_.sync.tables));
    const auto has_star = [](const std::string& pattern) {
        return pattern.find('*') != std::string::npos;
    };
    const bool stars = std::ranges::any_of(options_.sync.tables, has_star);
    std::vector<verify::TablePair> pairs;
    for (const auto& table : choice.tables) {
        // A star means the tables that the sync carries, if there is one.
        if (!stars || states_.empty() || is_known(states_, table)) {
            pairs.push_back({table, options_.sync.names.target_of(table), {}});
        }
    }
    co_return pairs;
}

Task<Status> VerifyRun::wait_applied(
    model::SourcePosition position, Deadline deadline, StopSignal& stop
) {
    if (options_.sync.timed) {
        // The comparison knows the database's log; the stream goes by polls.
        QIAO_CO_TRY(position, co_await source_->flushed_position());
    }
    QIAO_CO_CHECK(co_await source_->beat(stream_));
    while (true) {
        if (sync_ended_) {
            co_return *sync_ended_ ? Status(Error(ErrorCode::Cancelled)) : *sync_ended_;
        }
        QIAO_CO_TRY(const auto row, co_await session_->checkpoint(stream_));
        if (row && model::compare(row->position, position) >= 0) {
            co_return Status{};
        }
        if (deadline.passed(loop_.now())) {
            co_return Error(
                ErrorCode::DeadlinePassed,
                row ? "applied up to " + row->position.to_string() : "nothing is applied"
            );
        }
        QIAO_CO_CHECK(co_await sleep_for(loop_, loop_, kLookEvery, stop));
    }
}

verify::Flow VerifyRun::flow() {
    if (!followed_) {
        return {};
    }
    return {[this](model::SourcePosition position, Deadline deadline, StopSignal& stop) {
        return wait_applied(std::move(position), deadline, stop);
    }};
}

Comparison::Repair VerifyRun::repair() {
    if (!sync_) {
        return {};
    }
    return [this](verify::RepairList list, StopSignal& stop) {
        return sync_->flow()->repair(*source_reader_, std::move(list), stop);
    };
}

Comparison::Prove VerifyRun::prove() {
    if (!sync_) {
        return {};
    }
    return [this](model::TableName table, model::SourcePosition position, StopSignal& stop) {
        return prove_table(std::move(table), std::move(position), stop);
    };
}

/// Waits until the target knows, because the sync ends with the comparison.
Task<Status> VerifyRun::prove_table(
    model::TableName table, model::SourcePosition position, StopSignal& stop
) {
    QIAO_CO_TRY(
        const bool told, co_await sync_->flow()->prove(std::move(table), std::move(position), stop)
    );
    if (!told) {
        co_return Status{};
    }
    QIAO_CO_TRY(auto now, co_await source_->flushed_position());
    const Deadline deadline{loop_.now() + options_.comparison.verify.wait_limit};
    co_return co_await wait_applied(std::move(now), deadline, stop);
}

Task<void> VerifyRun::run_sync() {
    const auto report = co_await sync_->run();
    sync_ended_ = report ? Status{} : Status(report.error());
}

/// Runs the sync that there is until the comparison ends, and waits until it follows.
Task<Status> VerifyRun::continue_sync() {
    if (states_.empty()) {
        co_return Error(ErrorCode::VerifyNoSync, options_.sync.to.display());
    }
    auto options = options_.sync;
    options.follow = true;
    options.create = false;
    options.tables.clear();
    for (const auto& state : states_) {
        options.tables.push_back(exactly(state.table));
    }
    sync_ = std::make_unique<SyncRun>(loop_, storage_, rng_, std::move(options));
    scope_.spawn(run_sync());
    while (!sync_ended_ && !sync_->following()) {
        QIAO_CO_CHECK(co_await sleep_for(loop_, loop_, kLookEvery, scope_.stop()));
    }
    followed_ = true;
    co_return sync_ended_.value_or(Status{});
}

Task<Result<ComparisonReport>> VerifyRun::run() {
    Result<ComparisonReport> report = ComparisonReport{};
    Status ready = co_await open();
    if (ready && options_.comparison.repair) {
        ready = co_await continue_sync();
    }
    if (ready) {
        auto tables = co_await pairs();
        if (tables) {
            comparison_ = std::make_unique<Comparison>(
                Comparison::Parts{
                    loop_, loop_, rng_, *source_side_, *target_side_, flow(), repair(), prove()
                },
                options_.comparison
            );
            report = co_await comparison_->run(*std::move(tables), scope_.stop());
        } else {
            report = std::move(tables).error();
        }
    } else {
        report = std::move(ready).error();
    }
    if (sync_) {
        sync_->stop();
    }
    scope_.request_stop();
    co_await scope_.join();
    co_return report;
}

}  // namespace qiao::agent
