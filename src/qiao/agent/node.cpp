#include "qiao/agent/node.h"

#include "qiao/common/async/scope.h"
#include "qiao/common/async/sleep.h"

#include <fmt/format.h>

namespace qiao::agent {
namespace {

constexpr Duration kSampleEvery = std::chrono::seconds(1);

}  // namespace

Node::Node(
    Seams seams,
    const AgentConfig& config,
    const Identity& identity,
    Incarnation incarnation,
    std::string release,
    KeptDifferent& different
)
    : seams_(seams),
      config_(config),
      identity_(identity),
      incarnation_(incarnation),
      release_(std::move(release)),
      sessions_(seams.executor, seams.clock, seams.databases, config.rates),
      verifications_(
          {seams.executor,
           seams.clock,
           seams.rng,
           seams.storage,
           seams.databases,
           config.state + "/reports",
           different}
      ) {}

Node::~Node() = default;

Task<Status> Node::open() {
    trail::TrailOptions options;
    options.folder = config_.state + "/trail";
    options.segment_bytes = config_.trail.segment_bytes;
    options.disk_budget_bytes = config_.trail.budget_bytes;
    options.grace = config_.trail.grace;
    options.release = release_;
    QIAO_CO_TRY(
        trail_,
        co_await trail::Trail::open(
            seams_.storage, seams_.executor, seams_.clock, std::move(options)
        )
    );
    engine::TransferLogOptions log;
    log.folder = config_.state + "/transfer-log";
    log.node = config_.node;
    log_ = std::make_unique<engine::TransferLog>(
        seams_.storage, seams_.executor, seams_.clock, std::move(log)
    );
    // Rows move without it: it is evidence, not custody. The status says that it is missing.
    (void)co_await log_->open();
    QIAO_CO_CHECK(co_await verifications_.open());
    QIAO_CO_CHECK(co_await open_flows());
    co_return open_links();
}

Task<Status> Node::open_flows() {
    for (const auto& flow : config_.flows) {
        const auto stream = flow_stream(config_, flow);
        const auto folder = fmt::format("{}/keys/{}", config_.state, stream.to_string());
        QIAO_CO_TRY(auto keys, co_await engine::KeyStore::open(seams_.storage, folder));
        engine::FlowLog log(*log_, flow.name, flow.peer);
        if (flow.role == FlowRole::Source) {
            SourceLine::Parts parts{
                seams_.executor,
                seams_.clock,
                seams_.rng,
                *trail_,
                seams_.databases,
                config_.node,
                identity_.receivers.at(flow.name),
                std::move(log),
                &config_.rates,
                release_
            };
            sources_.push_back(
                std::make_unique<SourceLine>(std::move(parts), flow, stream, std::move(keys))
            );
            sessions_.add(*sources_.back());
        } else {
            TargetLine::Parts parts{
                seams_.executor,
                seams_.clock,
                seams_.rng,
                *trail_,
                seams_.databases,
                config_.node,
                incarnation_,
                identity_.wrapping,
                sessions_,
                std::move(log)
            };
            targets_.push_back(
                std::make_unique<TargetLine>(std::move(parts), flow, stream, std::move(keys))
            );
            sessions_.add(*targets_.back());
        }
    }
    co_return Status{};
}

link::SessionOptions Node::session_options(std::string expected) const {
    link::SessionOptions options;
    options.node_name = config_.node;
    options.incarnation = incarnation_;
    options.expected_peer = std::move(expected);
    options.window_bytes = config_.link_sizes.window_bytes;
    options.send_queue_bytes = config_.link_sizes.send_queue_bytes;
    return options;
}

Status Node::open_links() {
    for (const auto& peer : config_.peers) {
        link::DialerOptions options;
        options.to = peer.address;
        options.session = session_options(peer.name);
        dialers_.push_back(std::make_unique<link::Dialer>(
            seams_.executor,
            seams_.clock,
            seams_.rng,
            seams_.transport,
            seams_.authenticator,
            std::move(options),
            sessions_
        ));
    }
    if (!config_.listen) {
        return {};
    }
    link::AcceptorOptions options;
    options.at = *config_.listen;
    options.session = session_options("");
    options.admit = [this](const link::PeerInfo& peer) -> Status {
        if (config_.expects(peer.name)) {
            return {};
        }
        return Error(
            ErrorCode::LinkUnknownPeer,
            fmt::format("`{}` from {} is the peer of no flow", peer.name, peer.address.to_string())
        );
    };
    acceptor_ = std::make_unique<link::Acceptor>(
        seams_.executor,
        seams_.clock,
        seams_.transport,
        seams_.authenticator,
        std::move(options),
        sessions_
    );
    return acceptor_->listen();
}

Task<Status> Node::run(StopSignal& stop) {
    auto ended = co_await open();
    if (ended) {
        TaskScope logging(seams_.executor);
        logging.spawn(log_->run(logging.stop()));
        ended = co_await work(stop);
        logging.request_stop();
        co_await logging.join();
    }
    if (trail_) {
        const auto closed = co_await trail_->close();
        QIAO_CO_CHECK(ended);
        QIAO_CO_CHECK(closed);
    }
    co_return ended;
}

Task<Status> Node::work(StopSignal& stop) {
    TaskScope scope(seams_.executor);
    const auto forward = [&scope] { scope.request_stop(); };
    const StopSignal::Hook hook(stop, forward);
    for (const auto& line : targets_) {
        scope.spawn(line->run(scope.stop()));
    }
    for (const auto& line : sources_) {
        scope.spawn(line->run(scope.stop()));
    }
    for (const auto& dialer : dialers_) {
        scope.spawn(dialer->run(scope.stop()));
    }
    if (acceptor_) {
        scope.spawn(acceptor_->run(scope.stop()));
    }
    const auto ended = co_await watch(scope.stop());
    scope.request_stop();
    co_await verifications_.close();
    // Ends the waits of those whom the disk budget holds back, or sessions would never end.
    (void)co_await trail_->close();
    co_await scope.join();
    co_return ended;
}

/// Looks at everything once a second. A trail that cannot be written any more ends the node.
Task<Status> Node::watch(StopSignal& stop) {
    while (co_await sleep_for(seams_.executor, seams_.clock, kSampleEvery, stop)) {
        for (const auto& line : sources_) {
            line->sample();
        }
        for (const auto& line : targets_) {
            line->sample();
        }
        sessions_.set_rates();
        verifications_.keep_calendar(sources_);
        if (trail_->status().condition == trail::Condition::Failed) {
            const auto failure = co_await trail_->sync();
            co_return failure ? Error(ErrorCode::TrailIo) : failure.error();
        }
    }
    co_return Status{};
}

bool Node::retry(std::string_view flow) {
    for (const auto& line : sources_) {
        if (line->config().name == flow) {
            line->retry().now();
            return true;
        }
    }
    for (const auto& line : targets_) {
        if (line->config().name == flow) {
            line->retry().now();
            return true;
        }
    }
    return false;
}

}  // namespace qiao::agent
