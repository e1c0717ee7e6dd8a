#include "qiao/cli/check_link.h"

#include "qiao/agent/identity.h"
#include "qiao/agent/node_sessions.h"
#include "qiao/common/async/scope.h"
#include "qiao/common/rng.h"
#include "qiao/link/session.h"

#include <fmt/format.h>

namespace qiao::cli {
namespace {

constexpr Duration kStepMost = std::chrono::seconds(10);
constexpr Duration kRateMost = std::chrono::seconds(30);
constexpr int kRoundTrips = 5;
/// Of an upload call: the method's argument has at most a mebibyte.
constexpr size_t kUploadBytes = 960U << 10U;
constexpr int kUploads = 8;
constexpr int64_t kExpiryWarningUs = 60LL * 24 * 3600 * 1'000'000;

double seconds_since(EventLoop& loop, MonoTime since) {
    return std::chrono::duration<double>(loop.now() - since).count();
}

Bytes echo_argument(uint32_t wanted, size_t filler) {
    ByteWriter out;
    out.put(wanted);
    out.append(Bytes(filler));
    return std::move(out).take();
}

void judge_expiry(const crypto::CertificateInfo& certificate, WallTime now, CheckReport& report) {
    const auto until = certificate.not_after.to_string().substr(0, 10);
    const auto en = fmt::format("{} until {}", certificate.subject, until);
    const auto zh = fmt::format("{} 有效期至 {}", certificate.subject, until);
    const auto mend = "qiao key node NAME --ca CA --host HOST";
    if (certificate.not_after < now || now < certificate.not_before) {
        report.bad("link", "own certificate", {en, zh}, mend);
    } else if (certificate.not_after.us - now.us < kExpiryWarningUs) {
        report.warning("link", "own certificate", {en, zh}, mend);
    } else {
        report.good("link", "own certificate", {en, zh});
    }
}

/// Calls over an open session: the shortest round trip, then bytes up and down.
Task<Status> measure(EventLoop& loop, link::Session& session, CheckReport& report) {
    double shortest = 1e9;
    for (int i = 0; i < kRoundTrips; ++i) {
        const auto since = loop.now();
        const Deadline deadline{since + kStepMost};
        QIAO_CO_TRY(
            const auto reply,
            co_await session.call(agent::kEchoMethod, echo_argument(0, 0), deadline)
        );
        shortest = std::min(shortest, seconds_since(loop, since));
    }
    const auto trip = fmt::format("{:.2f} ms", shortest * 1000);
    report.good("link", "round trip", {trip, trip});

    auto since = loop.now();
    const Deadline deadline{since + kRateMost};
    for (int i = 0; i < kUploads; ++i) {
        QIAO_CO_TRY(
            const auto reply,
            co_await session.call(agent::kEchoMethod, echo_argument(0, kUploadBytes), deadline)
        );
    }
    const auto up =
        fmt::format("{:.1f} MB/s", kUploads * kUploadBytes / seconds_since(loop, since) / 1e6);
    report.good("link", "rate to the peer", {up, up});

    since = loop.now();
    const Deadline last{since + kRateMost};
    constexpr uint32_t kDownload = 8U << 20U;
    QIAO_CO_TRY(
        const auto reply,
        co_await session.call(agent::kEchoMethod, echo_argument(kDownload, 0), last)
    );
    const auto down = fmt::format(
        "{:.1f} MB/s", static_cast<double>(reply.size()) / seconds_since(loop, since) / 1e6
    );
    report.good("link", "rate from the peer", {down, down});
    co_return Status{};
}

Task<void> run_session(link::Session& session) { (void)co_await session.run(); }

Task<Status> check_session(
    EventLoop& loop,
    const agent::AgentConfig& config,
    link::AuthenticatedConnection connection,
    CheckReport& report
) {
    link::SessionOptions options;
    options.node_name = config.node;
    options.incarnation = system_rng().make_id<Incarnation>();
    StopSignal never;
    const Deadline deadline{loop.now() + kStepMost};
    QIAO_CO_TRY(
        const auto session,
        co_await link::Session::open(
            loop, loop, std::move(connection), std::move(options), deadline, never
        )
    );
    TaskScope scope(loop);
    scope.spawn(run_session(*session));
    const auto measured = co_await measure(loop, *session, report);
    session->close(Error(ErrorCode::LinkClosed, "the check is over"));
    co_await scope.join();
    co_return measured;
}

Task<Status> check_steps(
    EventLoop& loop,
    Storage& storage,
    const agent::AgentConfig& config,
    Endpoint to,
    CheckReport& report
) {
    QIAO_CO_TRY(const auto identity, co_await agent::load_identity(storage, config));
    judge_expiry(identity.certificate, loop.wall_now(), report);
    StopSignal never;
    const Deadline to_connect{loop.now() + kStepMost};
    QIAO_CO_TRY(auto raw, co_await loop.transport().connect(to, to_connect, never));
    const auto address = raw->peer().to_string();
    report.good("link", "TCP", {address, address});

    link::TlsAuthenticator authenticator(loop, *identity.tls);
    const Deadline to_greet{loop.now() + kStepMost};
    QIAO_CO_TRY(
        auto known,
        co_await authenticator.authenticate(
            std::move(raw), crypto::TlsRole::Client, to_greet, never
        )
    );
    const auto peer = fmt::format("{} ({})", known.peer_name, known.peer_fingerprint.substr(0, 16));
    report.good("link", "TLS", {peer, peer});
    co_return co_await check_session(loop, config, std::move(known), report);
}

}  // namespace

Task<void> check_link(
    EventLoop& loop,
    Storage& storage,
    const agent::AgentConfig& config,
    Endpoint to,
    CheckReport& report
) {
    const auto done = co_await check_steps(loop, storage, config, to, report);
    if (!done) {
        const auto& info = done.error().info();
        report.bad(
            "link",
            to.to_string(),
            {done.error().to_string(),
             fmt::format("{}({})", info.cause_zh, done.error().to_string())},
            std::string(info.next_en)
        );
    }
}

}  // namespace qiao::cli
