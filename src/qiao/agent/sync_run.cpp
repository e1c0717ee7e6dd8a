#include "qiao/agent/sync_run.h"

#include "qiao/agent/kept_names.h"
#include "qiao/agent/kept_selection.h"
#include "qiao/agent/wrapping_key.h"
#include "qiao/common/async/backoff.h"
#include "qiao/common/async/sleep.h"
#include "qiao/crypto/suite.h"
#include "qiao/drivers/postgres/catalogue.h"
#include "qiao/engine/laid_aside.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::agent {
namespace {

constexpr const char* kFlowName = "sync";
/// With `--once` nobody wants to wait ten seconds for the sign that the log is read to its end.
constexpr Duration kOnceHeartbeat = std::chrono::milliseconds(500);

constexpr Duration kLookEvery = std::chrono::milliseconds(20);
constexpr uint32_t kTriesOnce = 3;
/// With `--once`, for a database that is being started.
constexpr Duration kReachMost = std::chrono::seconds(20);

/// With and without the usual port is the same place.
std::string place(const drivers::DataSourceUrl& url) {
    constexpr uint16_t kPostgresPort = 5432;
    const auto port = url.port == 0 ? kPostgresPort : url.port;
    return fmt::format("{}://{}:{}/{}", url.scheme, url.host, port, url.database);
}

drivers::Finding doubt_of(const drivers::TableState& state) {
    using Verdict = drivers::Finding::Verdict;
    const auto table = state.table.to_string();
    if (state.status == drivers::TableStatus::NeedsResync) {
        return {
            Verdict::Warning,
            table,
            "its changes do not come any more; it is loaded anew at the next start, or when asked",
            "其变更不再到达;下次启动时或收到请求后将重新装载",
            "qiao tables --from … --to … --resync " + table
        };
    }
    if (state.status == drivers::TableStatus::ResyncAsked) {
        return {Verdict::Warning, table, "is about to be loaded anew", "即将重新装载", ""};
    }
    if (state.status == drivers::TableStatus::Paused) {
        return {
            Verdict::Warning,
            table,
            state.note.empty() ? "is paused: its changes are laid aside"
                               : "its shape changed at the source; its changes are laid aside",
            state.note.empty() ? "已暂停:其变更被搁置" : "其结构在源端发生变化;其变更被搁置",
            (state.note.empty() ? "" : state.note + "; then ") +
                "qiao tables --from … --to … --resume " + table
        };
    }
    return {
        Verdict::Warning,
        table,
        "unproven: its columns or partitions changed at the source, or history has a gap",
        "未经验证:源端的列或分区发生过变化,或历史存在缺口",
        "qiao verify --from … --to … --repair"
    };
}

}  // namespace

StreamId sync_stream(const drivers::DataSourceUrl& from, const drivers::DataSourceUrl& to) {
    const auto text = fmt::format("sync\n{}\n{}", place(from), place(to));
    const auto digest = crypto::find_suite(crypto::SuiteId::Intl)->digest({as_bytes(text)});
    return StreamId::from(digest.view().first(StreamId::kSize));
}

std::string database_tag(const drivers::DataSourceUrl& url) {
    constexpr size_t kBytes = 8;
    const auto text = place(url);
    const auto digest = crypto::find_suite(crypto::SuiteId::Intl)->digest({as_bytes(text)});
    return to_hex(digest.view().first(kBytes));
}

Result<StreamId> timed_sync_stream(
    const drivers::DataSourceUrl& from, const drivers::DataSourceUrl& to, const std::string& table
) {
    QIAO_TRY(const auto pattern, drivers::postgres::TablePattern::parse(table));
    if (!pattern.schema || !pattern.name) {
        return Error(ErrorCode::Config, "by timestamp one table or view is named, not " + table);
    }
    const auto text = fmt::format(
        "sync\n{}\n{}\ntimestamp\n{}\n{}", place(from), place(to), *pattern.schema, *pattern.name
    );
    const auto digest = crypto::find_suite(crypto::SuiteId::Intl)->digest({as_bytes(text)});
    return StreamId::from(digest.view().first(StreamId::kSize));
}

Result<StreamId> sync_stream(const SyncOptions& options) {
    if (!options.timed) {
        return sync_stream(options.from, options.to);
    }
    if (options.tables.size() != 1) {
        return Error(ErrorCode::Config, "by timestamp a stream carries one table or view");
    }
    return timed_sync_stream(options.from, options.to, options.tables.front());
}

SyncRun::SyncRun(EventLoop& loop, Storage& storage, Rng& rng, SyncOptions options)
    : loop_(loop),
      storage_(storage),
      rng_(rng),
      options_(std::move(options)),
      stream_(sync_stream(options_).value()),
      started_(loop.now()),
      applied_changed_(loop),
      logging_(loop),
      scope_(loop) {}

SyncRun::~SyncRun() = default;

Task<Status> SyncRun::open_state() {
    QIAO_CO_CHECK(co_await storage_.make_folder(options_.state));
    QIAO_CO_TRY(lock_, co_await storage_.lock(options_.state + "/lock"));
    QIAO_CO_TRY(
        options_.names, co_await keep_names(storage_, options_.state, std::move(options_.names))
    );
    QIAO_CO_TRY(
        options_.selection,
        co_await keep_selection(storage_, options_.state, std::move(options_.selection))
    );
    const auto kind = options_.suite == "gm" ? crypto::KeyKind::Sm2 : crypto::KeyKind::P256;
    const auto key_path = fmt::format("{}/wrapping-{}.pem", options_.state, options_.suite);
    QIAO_CO_TRY(wrapping_key_, co_await load_or_make_wrapping_key(storage_, key_path, kind));
    QIAO_CO_TRY(keys_, co_await engine::KeyStore::open(storage_, options_.state + "/keys"));
    trail::TrailOptions options;
    options.folder = options_.state + "/trail";
    options.release = options_.release;
    QIAO_CO_TRY(trail_, co_await trail::Trail::open(storage_, loop_, loop_, std::move(options)));
    co_await open_log();
    co_return Status{};
}

/// Rows move without it; the report says that it is missing.
Task<void> SyncRun::open_log() {
    engine::TransferLogOptions options;
    options.folder = options_.state + "/transfer-log";
    options.node = "sync";
    log_ = std::make_unique<engine::TransferLog>(storage_, loop_, loop_, std::move(options));
    (void)co_await log_->open();
    logging_.spawn(log_->run(logging_.stop()));
}

engine::FlowLog SyncRun::flow_log() const {
    return log_ ? engine::FlowLog(*log_, kFlowName, "") : engine::FlowLog();
}

/// A wrong address must not look like work. Who follows waits for as long as it takes, in sight.
Task<Status> SyncRun::reach_databases() {
    Backoff backoff;
    const Deadline deadline{loop_.now() + kReachMost};
    while (true) {
        const auto reached = co_await connect_both();
        if (reached) {
            unreached_.reset();
            co_return Status{};
        }
        const bool given_up = !options_.follow && deadline.passed(loop_.now());
        if (!reached.error().transient() || given_up) {
            co_return reached;
        }
        unreached_ = {unreached_ ? unreached_->tries + 1 : 1, reached.error()};
        const auto pause = backoff.next(rng_);
        QIAO_CO_CHECK(co_await sleep_for(loop_, loop_, pause, scope_.stop()));
    }
}

Task<Status> SyncRun::connect_both() {
    QIAO_CO_CHECK(co_await target_.database->connect());
    QIAO_CO_CHECK(co_await source_->reach());
    co_return Status{};
}

Task<Status> SyncRun::open_flows() {
    const drivers::postgres::Runtime runtime{loop_, loop_, loop_};
    const auto* suite = crypto::find_suite(options_.suite);
    if (suite == nullptr) {
        co_return Error(ErrorCode::Config, fmt::format("cipher suite `{}`", options_.suite));
    }
    SourceChoice choice;
    choice.timed = options_.timed;
    choice.value_bytes_max = options_.value_bytes_max;
    choice.selection = options_.selection;
    choice.own_origins = {database_tag(options_.to)};
    choice.storage = &storage_;
    choice.folder = options_.state;
    if (!options_.follow) {
        choice.heartbeat_every = kOnceHeartbeat;
        if (choice.timed) {
            choice.timed->options.every = kOnceHeartbeat;
        }
    }
    QIAO_CO_TRY(source_, make_source(runtime, options_.from, choice, rng_, scope_.stop()));
    QIAO_CO_TRY(
        target_, make_target(runtime, options_.to, scope_.stop(), database_tag(options_.from))
    );

    engine::TargetFlowOptions target;
    target.name = kFlowName;
    target.stream = stream_;
    target.consumer = "target";
    target.may_create = options_.create;
    target.apply.stream = stream_;
    target.apply.owner = rng_.make_id<Incarnation>();
    target.apply.names = options_.names;
    target.apply.report_foreign_changes = options_.report_foreign_changes;
    target.apply.policy =
        options_.lay_aside ? apply::DivergencePolicy::RepairLater : apply::DivergencePolicy::Stop;
    QIAO_CO_TRY(
        auto seal,
        engine::LaidAsideSeal::make(*suite, *wrapping_key_->public_key(), stream_, loop_, rng_)
    );
    target.apply.seal = engine::sealing(std::move(seal));
    target.on_applied = [this](const engine::ChainTip& tip) {
        applied_ = tip;
        applied_changed_.pulse();
    };
    target_flow_ = std::make_unique<engine::TargetFlow>(
        engine::TargetFlow::Parts{
            loop_,
            loop_,
            rng_,
            *trail_,
            *keys_,
            {wrapping_key_},
            *target_.database,
            *target_.structures,
            flow_log()
        },
        std::move(target)
    );
    QIAO_CO_CHECK(co_await reach_databases());
    QIAO_CO_CHECK(co_await target_flow_->open(scope_.stop()));

    engine::SourceFlowOptions source;
    source.name = kFlowName;
    source.node = "sync";
    source.release = options_.release;
    source.stream = stream_;
    source.tables = options_.tables;
    source.renamed = options_.names.table_names();
    source.create = options_.create;
    source.existing = options_.existing;
    source.reopen = options_.reopen;
    source.suite = suite;
    source.receivers = {wrapping_key_->public_key()};
    source.load = options_.load;
    source.load.names = options_.names;
    source_flow_ = std::make_unique<engine::SourceFlow>(
        engine::SourceFlow::Parts{
            loop_, loop_, rng_, *trail_, *keys_, *source_, target_flow_->target(), flow_log()
        },
        std::move(source)
    );
    co_return Status{};
}

void SyncRun::end(const Status& status) {
    if (!status && !status.error().is(ErrorCode::Cancelled) && !failure_) {
        failure_ = status.error();
    }
    scope_.request_stop();
    source_flow_->following().set();
    applied_changed_.pulse();
}

Task<void> SyncRun::run_source() { end(co_await source_flow_->run(scope_.stop())); }

Task<void> SyncRun::run_target() {
    // The trail may not reach back to the checkpoint before the stream has begun anew behind it.
    while (options_.reopen && source_flow_->capture() == nullptr && !scope_.stop().requested()) {
        (void)co_await sleep_for(loop_, loop_, kLookEvery, scope_.stop());
    }
    end(co_await target_flow_->run(scope_.stop()));
}

/// Committed at the target: the source's log and the trail may go.
Task<void> SyncRun::release_custody() {
    const auto wake = [this] { applied_changed_.pulse(); };
    StopSignal::Hook hook(scope_.stop(), wake);
    engine::ChainTip released;
    while (true) {
        while (applied_ == released && !scope_.stop().requested()) {
            co_await applied_changed_.wait();
        }
        if (applied_ == released) {
            co_return;
        }
        released = applied_;
        const auto done = co_await source_flow_->acknowledged(engine::Custody::End, released.point);
        if (!done) {
            end(done);
        }
    }
}

/// Waits until everything committed before now is applied.
Task<Status> SyncRun::catch_up() {
    const auto wake = [this] { source_flow_->following().set(); };
    StopSignal::Hook hook(scope_.stop(), wake);
    co_await source_flow_->following().wait();
    if (options_.follow) {
        const auto nudge = [this] { applied_changed_.pulse(); };
        StopSignal::Hook until(scope_.stop(), nudge);
        while (!scope_.stop().requested()) {
            co_await applied_changed_.wait();
        }
        co_return Status{};
    }
    if (scope_.stop().requested()) {
        co_return Error(ErrorCode::Cancelled, "before everything was loaded");
    }
    QIAO_CO_TRY(const auto goal, co_await source_->flushed_position());
    while (!(model::compare(applied_.position, goal) >= 0)) {
        if (const auto error = stuck()) {
            co_return *error;
        }
        const auto slept = co_await sleep_for(loop_, loop_, kLookEvery, scope_.stop());
        if (!slept) {
            co_return Error(ErrorCode::Cancelled, "before the target had caught up");
        }
    }
    caught_up_to_ = goal;
    co_return co_await bring_sequences();
}

/// With rows alone the target's next key would be one that is taken. Read after the rows: what they
/// use was given before.
Task<Status> SyncRun::bring_sequences() {
    const auto tables = source_flow_->status().tables;
    QIAO_CO_TRY(auto sequences, co_await source_->sequences(tables, options_.names));
    sequences_left_out_ = std::move(sequences.left_out);
    if (!sequences.values.empty()) {
        QIAO_CO_TRY(
            sequences_,
            co_await target_flow_->target().advance_sequences(std::move(sequences.values))
        );
    }
    co_return Status{};
}

/// With `--once` nobody is there to mend what the applier waits for.
std::optional<Error> SyncRun::stuck() const {
    const auto status = target_flow_->apply_status().applier;
    const bool waits_for_someone = status.last_error && !status.last_error->transient();
    return waits_for_someone && status.tries >= kTriesOnce ? status.last_error : std::nullopt;
}

Task<Result<SyncReport>> SyncRun::run() {
    QIAO_CO_CHECK(co_await open_state());
    const auto opened = co_await open_flows();
    if (opened) {
        applied_ = {};
        scope_.spawn(run_target());
        scope_.spawn(run_source());
        scope_.spawn(release_custody());
        const auto caught_up = co_await catch_up();
        if (!caught_up && !failure_) {
            failure_ = caught_up.error();
        }
    }
    scope_.request_stop();
    co_await scope_.join();
    logging_.request_stop();
    co_await logging_.join();
    const auto closed = co_await trail_->close();
    QIAO_CO_CHECK(opened);
    if (failure_) {
        co_return *failure_;
    }
    QIAO_CO_CHECK(closed);
    if (!options_.follow) {
        co_await look_at_leftovers();
    }
    co_return report();
}

/// After the last confirmation was told, on connections that the stop does not end.
Task<void> SyncRun::look_at_leftovers() {
    if (options_.timed) {
        co_return;  // nothing is made at its source
    }
    StopSignal stop;
    const drivers::postgres::Runtime runtime{loop_, loop_, loop_};
    const auto source = make_source(runtime, options_.from, {}, rng_, stop);
    if (!source) {
        co_return;
    }
    auto left = co_await (*source)->leftovers(stream_);
    if (left) {
        leftovers_ = std::move(*left);
    }
}

Result<SyncReport> SyncRun::report() const {
    SyncReport report;
    report.flow = source_flow_->status();
    std::ranges::copy(source_->notes(), std::back_inserter(report.flow.findings));
    report.rows_loaded = report.flow.load.rows;
    report.sequences = sequences_.made.size();
    std::ranges::copy(sequences_left_out_, std::back_inserter(report.flow.left_out));
    if (!sequences_.failed.empty()) {
        auto& created = report.flow.created;
        created = created ? created : drivers::CreateReport{};
        std::ranges::copy(sequences_.failed, std::back_inserter(created->failed));
    }
    const auto apply = target_flow_->apply_status();
    for (const auto& state : apply.doubtful) {
        report.flow.findings.push_back(doubt_of(state));
    }
    const auto& applied = apply.applier;
    report.rows_applied = applied.rows;
    report.transactions_applied = applied.transactions;
    report.divergences = applied.divergences;
    report.laid_aside = applied.laid_aside;
    report.caught_up_to = caught_up_to_;
    report.leftovers = leftovers_;
    report.took = loop_.now() - started_;
    if (const auto error = log_ ? log_->status().last_error : std::nullopt) {
        report.flow.findings.push_back(
            {drivers::Finding::Verdict::Warning,
             "transfer log",
             error->to_string(),
             error->to_string(),
             std::string(error->info().next_step(Language::English))}
        );
    }
    return report;
}

}  // namespace qiao::agent
