#include "qiao/agent/sync_run.h"

#include "qiao/agent/wrapping_key.h"
#include "qiao/crypto/suite.h"

#include <fmt/format.h>

namespace qiao::agent {
namespace {

constexpr const char* kFlowName = "sync";
/// With `--once` nobody wants to wait ten seconds for the sign that the log is read to its end.
constexpr Duration kOnceHeartbeat = std::chrono::milliseconds(500);

/// With and without the usual port is the same place.
std::string place(const drivers::DataSourceUrl& url) {
    constexpr uint16_t kPostgresPort = 5432;
    const auto port = url.port == 0 ? kPostgresPort : url.port;
    return fmt::format("{}://{}:{}/{}", url.scheme, url.host, port, url.database);
}

}  // namespace

StreamId sync_stream(const drivers::DataSourceUrl& from, const drivers::DataSourceUrl& to) {
    const auto text = fmt::format("sync\n{}\n{}", place(from), place(to));
    const auto digest = crypto::find_suite(crypto::SuiteId::Intl)->digest({as_bytes(text)});
    return StreamId::from(digest.view().first(StreamId::kSize));
}

SyncRun::SyncRun(EventLoop& loop, Storage& storage, Rng& rng, SyncOptions options)
    : loop_(loop),
      storage_(storage),
      rng_(rng),
      options_(std::move(options)),
      stream_(sync_stream(options_.from, options_.to)),
      started_(loop.now()),
      applied_changed_(loop),
      scope_(loop) {}

SyncRun::~SyncRun() = default;

Task<Status> SyncRun::open_state() {
    QIAO_CO_CHECK(co_await storage_.make_folder(options_.state));
    QIAO_CO_TRY(lock_, co_await storage_.lock(options_.state + "/lock"));
    const auto kind = options_.suite == "gm" ? crypto::KeyKind::Sm2 : crypto::KeyKind::P256;
    const auto key_path = fmt::format("{}/wrapping-{}.pem", options_.state, options_.suite);
    QIAO_CO_TRY(wrapping_key_, co_await load_or_make_wrapping_key(storage_, key_path, kind));
    QIAO_CO_TRY(keys_, co_await engine::KeyStore::open(storage_, options_.state + "/keys"));
    trail::TrailOptions options;
    options.folder = options_.state + "/trail";
    QIAO_CO_TRY(trail_, co_await trail::Trail::open(storage_, loop_, loop_, std::move(options)));
    co_return Status{};
}

Task<Status> SyncRun::open_flows() {
    const drivers::postgres::Runtime runtime{loop_, loop_, loop_};
    const auto* suite = crypto::find_suite(options_.suite);
    if (suite == nullptr) {
        co_return Error(ErrorCode::Config, fmt::format("cipher suite `{}`", options_.suite));
    }
    SourceChoice choice;
    if (!options_.follow) {
        choice.heartbeat_every = kOnceHeartbeat;
    }
    QIAO_CO_TRY(source_, make_source(runtime, options_.from, choice, rng_, scope_.stop()));
    QIAO_CO_TRY(target_, make_target(runtime, options_.to, scope_.stop()));

    engine::TargetFlowOptions target;
    target.name = kFlowName;
    target.stream = stream_;
    target.consumer = "target";
    target.apply.stream = stream_;
    target.apply.owner = rng_.make_id<Incarnation>();
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
            wrapping_key_,
            *target_.database,
            *target_.structures
        },
        std::move(target)
    );
    QIAO_CO_CHECK(co_await target_flow_->open(scope_.stop()));

    engine::SourceFlowOptions source;
    source.name = kFlowName;
    source.node = "sync";
    source.stream = stream_;
    source.tables = options_.tables;
    source.create = options_.create;
    source.suite = suite;
    source.receivers = {wrapping_key_->public_key()};
    source.load = options_.load;
    source_flow_ = std::make_unique<engine::SourceFlow>(
        engine::SourceFlow::Parts{
            loop_, loop_, rng_, *trail_, *keys_, *source_, target_flow_->target()
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

Task<void> SyncRun::run_target() { end(co_await target_flow_->run(scope_.stop())); }

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
    if (options_.follow || scope_.stop().requested()) {
        const auto nudge = [this] { applied_changed_.pulse(); };
        StopSignal::Hook until(scope_.stop(), nudge);
        while (!scope_.stop().requested()) {
            co_await applied_changed_.wait();
        }
        co_return Status{};
    }
    QIAO_CO_TRY(const auto goal, co_await source_->flushed_position());
    const auto nudge = [this] { applied_changed_.pulse(); };
    StopSignal::Hook until(scope_.stop(), nudge);
    while (!scope_.stop().requested() && !(model::compare(applied_.position, goal) >= 0)) {
        co_await applied_changed_.wait();
    }
    caught_up_to_ = goal;
    co_return Status{};
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
    report.rows_loaded = report.flow.load.rows;
    const auto applied = target_flow_->apply_status().applier;
    report.rows_applied = applied.rows;
    report.transactions_applied = applied.transactions;
    report.divergences = applied.divergences;
    report.caught_up_to = caught_up_to_;
    report.leftovers = leftovers_;
    report.took = loop_.now() - started_;
    return report;
}

}  // namespace qiao::agent
