#include "qiao/apply/applier.h"

#include "qiao/apply/internal/core.h"
#include "qiao/common/assert.h"
#include "qiao/common/async/sleep.h"
#include "qiao/common/plant.h"

#include <algorithm>

namespace qiao::apply {
namespace {

/// The first group's goal; the pace of what was applied moves it.
constexpr size_t kRowsGoalFirst = 1000;

}  // namespace

Applier::Core::Core(
    drivers::TargetDatabase& target,
    Executor& run_on,
    Clock& time,
    Rng& chance,
    ApplierOptions settings,
    ApplyObserver& listener
)
    : database(target),
      executor(run_on),
      clock(time),
      rng(chance),
      options(std::move(settings)),
      observer(listener),
      catalogue(time, options.names),
      states(run_on),
      turn(run_on),
      backoff(options.retry_first, options.retry_most),
      rows_goal(std::min(kRowsGoalFirst, options.group_rows_max)) {
    QIAO_ASSERT(options.policy == DivergencePolicy::Stop || options.seal != nullptr);
    QIAO_ASSERT(options.group_rows_max >= 1);
    input.emplace(executor, options.queue_bytes);
}

Applier::Applier(
    drivers::TargetDatabase& database,
    Executor& executor,
    Clock& clock,
    Rng& rng,
    ApplierOptions options,
    ApplyObserver& observer
)
    : core_(std::make_unique<Core>(database, executor, clock, rng, std::move(options), observer)) {}

Applier::~Applier() = default;

Channel<Input>& Applier::input() { return *core_->input; }

const drivers::CheckpointRow& Applier::checkpoint() const { return core_->checkpoint; }

const model::Mapping& Applier::names() const { return core_->options.names; }

std::vector<drivers::TableState> Applier::table_states() const { return core_->states.all(); }

void Applier::expect_no_loads() { core_->states.expect_none(); }

std::vector<drivers::TableState> Applier::doubtful_tables() const {
    return core_->states.doubtful();
}

ApplyStatus Applier::status() const {
    auto status = core_->status;
    status.queue = core_->input->size();
    status.queue_bytes = core_->input->used();
    status.group_rows_goal = core_->rows_goal;
    status.open_errors = core_->chains.size();
    status.laid_aside = core_->chains.rows();
    return status;
}

void Applier::Core::doubt_all(Error why) {
    if (doubt) {
        return;
    }
    doubt = std::move(why);
    input->close();
    states.changed().pulse();
    observer.doubted();
}

Task<Status> Applier::Core::load_beside() {
    QIAO_CO_CHECK(co_await load_states());
    QIAO_CO_TRY(auto schemas, co_await session->schemas(options.stream));
    if (is_planted(Plant::SchemaNotSaved)) {
        schemas.clear();
    }
    catalogue.clear();
    for (auto& schema : schemas) {
        const auto id = schema.id();
        catalogue.add(std::move(schema));
        catalogue.use(id);
    }
    for (const auto& schema : unsaved_schemas) {
        catalogue.add(schema);
    }
    co_return Status{};
}

Task<Status> Applier::Core::load_states() {
    QIAO_CO_TRY(auto known_states, co_await session->table_states(options.stream));
    states.load(std::move(known_states));
    take_markings();
    QIAO_CO_TRY(auto errors, co_await session->open_errors(options.stream));
    chains.load(std::move(errors));
    co_return Status{};
}

Task<Result<drivers::CheckpointRow>> Applier::open() {
    auto& core = *core_;
    core.session.reset();
    core.doubt.reset();
    QIAO_CO_CHECK(co_await core.connect());
    QIAO_CO_CHECK(co_await core.session->prepare());
    const auto& options = core.options;
    QIAO_CO_TRY(core.checkpoint, co_await core.session->claim(options.stream, options.owner));
    QIAO_CO_CHECK(co_await core.load_beside());
    co_return core.checkpoint;
}

Task<Result<drivers::CheckpointRow>> Applier::rewind() {
    auto& core = *core_;
    if (core.doubt) {
        co_return *core.doubt;
    }
    core.input.emplace(core.executor, core.options.queue_bytes);
    core.held.reset();
    core.assembling.reset();
    core.passing.reset();
    QIAO_CO_TRY(const bool ours, co_await core.stands_at(core.checkpoint));
    if (!ours) {
        co_return Error(ErrorCode::ApplyFenced, core.database.display());
    }
    QIAO_CO_CHECK(co_await core.connect());  // the answer may have been the connection's last
    QIAO_CO_CHECK(co_await core.load_beside());
    co_return core.checkpoint;
}

Task<Status> Applier::run(StopSignal& stop) {
    auto& core = *core_;
    const auto close = [&core] { core.input->close(); };
    StopSignal::Hook hook(stop, close);
    for (;;) {
        auto more = co_await core.gather(stop);
        Status done;
        if (!more) {
            done = more.error();
        }
        if (done && !core.unit.empty()) {
            done = co_await core.apply_unit(stop);
        }
        if (done && core.assembling &&
            core.assembling->bytes > core.options.transaction_bytes_max &&
            !core.assembling->parts.back().last) {
            done = co_await core.apply_streamed(stop);
            more = true;
        }
        if (!done) {
            if (!done.error().is(ErrorCode::Cancelled)) {
                core.status.state = ApplyState::Stopped;
                core.status.last_error = done.error();
            }
            co_return done;
        }
        if (!*more) {
            core.status.state = ApplyState::Idle;
            co_return Status{};
        }
    }
}

/// The unit as a whole; where only careful work helps, its transactions one by one.
Task<Status> Applier::Core::apply_unit(StopSignal& stop) {
    status.state = ApplyState::Applying;
    QIAO_CO_TRY(const bool done, co_await persist(unit, Mode::Sets, stop));
    if (done) {
        co_return Status{};
    }
    const auto whole = std::move(unit);
    for (size_t i = 0; i < whole.transactions.size(); ++i) {
        Unit one;
        one.transactions.push_back(whole.transactions[i]);
        one.rows = one.transactions.front().rows;
        const bool last = i + 1 == whole.transactions.size();
        one.after = last ? whole.after : one.transactions.front().after;
        QIAO_CO_TRY(const bool committed, co_await persist(one, Mode::Careful, stop));
        QIAO_ASSERT(committed);
    }
    co_return Status{};
}

Task<Result<bool>> Applier::Core::persist(Unit& what, Mode mode, StopSignal& stop) {
    for (;;) {
        auto outcome = co_await attempt(what, mode, stop);
        if (outcome.kind == Attempt::Kind::Committed) {
            status.state = ApplyState::Applying;
            co_return true;
        }
        if (outcome.kind == Attempt::Kind::Careful) {
            ++status.redone;
            co_return false;
        }
        if (outcome.kind == Attempt::Kind::WaitLoad) {
            for (const auto& transaction : what.transactions) {
                QIAO_CO_CHECK(co_await wait_for_load(transaction, stop));
            }
            continue;
        }
        QIAO_CO_CHECK(co_await pause_after(*outcome.error, stop));
    }
}

Task<Status> Applier::Core::pause_after(Error error, StopSignal& stop) {
    const auto cure = cure_of(error);
    if (cure == Cure::Never || cure == Cure::Policy) {
        co_return error;
    }
    status.tries = backoff.tries() + 1;
    const bool mend = cure == Cure::Mend || status.tries > options.retries_shown;
    status.state = mend ? ApplyState::Paused : ApplyState::Retrying;
    status.last_error = std::move(error);
    co_return co_await sleep_for(executor, clock, backoff.next(rng), stop);
}

}  // namespace qiao::apply
