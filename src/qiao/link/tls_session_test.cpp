#include "qiao/common/async/event_loop.h"
#include "qiao/crypto/certificate.h"
#include "qiao/link/acceptor.h"
#include "qiao/link/dialer.h"
#include "qiao/link/two_nodes_test.h"

namespace qiao::link {
namespace {

using namespace testing;

/// Contexts of one authority, with names as in the tests.
class Certificates {
public:
    explicit Certificates(const EventLoop& loop)
        : loop_(loop), authority_(crypto::make_authority("test authority", loop.wall_now())) {}

    std::unique_ptr<crypto::TlsContext> context(const std::string& name) const {
        auto issued =
            crypto::issue_certificate(authority_, name, {"localhost"}, loop_.wall_now()).value();
        const crypto::TlsIdentity identity{
            .certificate_chain_pem = issued.certificate_pem,
            .private_key_pem = issued.private_key_pem,
            .trusted_ca_pem = authority_.certificate_pem,
        };
        return crypto::TlsContext::make(identity).value();
    }

private:
    const EventLoop& loop_;
    crypto::IssuedCertificate authority_;
};

/// A hub and a node over real sockets.
class RealPair {
public:
    RealPair(
        const crypto::TlsContext& hub_context,
        const crypto::TlsContext& node_context,
        EventLoop& loop,
        const std::string& host,
        SessionUser& at_hub,
        SessionUser& at_node
    )
        : hub_authenticator_(loop, hub_context),
          node_authenticator_(loop, node_context),
          hub_(loop, loop, loop.transport(), hub_authenticator_, hub_options(), at_hub),
          listening_(hub_.listen()),
          node_(
              loop,
              loop,
              system_rng(),
              loop.transport(),
              node_authenticator_,
              node_options(host, hub_.local().port),
              at_node
          ),
          scope_(loop) {
        scope_.spawn(hub_.run(scope_.stop()));
        scope_.spawn(node_.run(scope_.stop()));
    }

    Task<void> stop_after(Event& done) {
        co_await done.wait();
        scope_.request_stop();
        co_await scope_.join();
    }

    const Dialer& node() const { return node_; }

    const Acceptor& hub() const { return hub_; }

private:
    static AcceptorOptions hub_options() {
        AcceptorOptions options;
        options.at = {"*", 0};
        options.session = named("hub");
        return options;
    }

    static DialerOptions node_options(const std::string& host, uint16_t port) {
        DialerOptions options{.to = {host, port}, .session = named("node")};
        options.session.expected_peer = "hub";
        return options;
    }

    TlsAuthenticator hub_authenticator_;
    TlsAuthenticator node_authenticator_;
    Acceptor hub_;
    Status listening_;
    Dialer node_;
    TaskScope scope_;
};

constexpr size_t kPackets = 64;
constexpr size_t kPacketBytes = size_t{1} << 20U;

Task<void> send_64_mb(Session& session) {
    {
        const auto stream = session.offer(offer_of(1));
        (void)co_await stream->state();
        for (uint64_t i = 1; i <= kPackets; ++i) {
            Bytes packet(kPacketBytes, static_cast<std::byte>(i));
            if (!co_await stream->send(point(i), std::move(packet))) {
                co_return;
            }
        }
        (void)co_await stream->state();
        while (const auto held = co_await stream->next_acknowledgement()) {
            if (held->reached.point == point(kPackets)) {
                break;
            }
        }
    }
    session.close(Error(ErrorCode::LinkClosed, "done"));
}

Task<void> send_in_session(Session& session, Executor& executor, Event& done) {
    TaskScope scope(executor);
    scope.spawn(send_64_mb(session));
    (void)co_await session.run();
    co_await scope.join();
    done.set();
}

Task<void> collect(IncomingStream& stream, std::vector<Bytes>& got) {
    stream.accept({});
    while (auto packet = co_await stream.receive()) {
        got.push_back(std::move(packet->packet));
        stream.return_credit(packet->cost);
        Acknowledgement held{{AckLevel::Held, {}, packet->point, {}}, {}};
        stream.acknowledge(held);
    }
}

Task<void> receive_in_session(Session& session, StreamHandler& handler) {
    session.set_stream_handler(handler);
    (void)co_await session.run();
}

// Spec
TEST(TlsLink, CarriesPacketsOverIpv4AndIpv6) {
    for (const auto* host : {"127.0.0.1", "::1"}) {
        EventLoop loop;
        const Certificates certificates(loop);
        const auto hub = certificates.context("hub");
        const auto node = certificates.context("node");
        std::vector<Bytes> got;
        Event done(loop);
        HandlerOf handler([&](IncomingStream& stream) { return collect(stream, got); });
        UserOf at_hub([&](Session& session) { return receive_in_session(session, handler); });
        UserOf at_node([&](Session& session) { return send_in_session(session, loop, done); });
        RealPair pair(*hub, *node, loop, host, at_hub, at_node);
        loop.run(pair.stop_after(done));
        ASSERT_EQ(got.size(), kPackets) << host;
        for (size_t i = 0; i < kPackets; ++i) {
            ASSERT_EQ(got[i], Bytes(kPacketBytes, static_cast<std::byte>(i + 1)));
        }
    }
}

enum class Who : uint8_t { Node, Both };

Task<void> wait_for_errors(EventLoop& loop, const RealPair& pair, Who who, Event& done) {
    StopSignal never;
    while (!pair.node().status().last_error || (who == Who::Both && !pair.hub().stats().last_error)
    ) {
        (void)co_await sleep_for(loop, loop, std::chrono::milliseconds(5), never);
    }
    done.set();
}

Task<void> just_run(Session& session) { (void)co_await session.run(); }

// Spec: R-32
TEST(TlsLink, RefusesACertificateOfAnotherAuthority) {
    EventLoop loop;
    const Certificates ours(loop);
    const Certificates theirs(loop);
    const auto hub = ours.context("hub");
    const auto node = theirs.context("node");
    Event done(loop);
    UserOf user(just_run);
    RealPair pair(*hub, *node, loop, "127.0.0.1", user, user);
    TaskScope scope(loop);
    scope.spawn(wait_for_errors(loop, pair, Who::Both, done));
    loop.run(pair.stop_after(done));
    loop.run(scope.join());
    EXPECT_EQ(pair.node().status().sessions, 0U);
    EXPECT_EQ(pair.node().status().last_error->code(), ErrorCode::CryptoTlsRefused);
    EXPECT_EQ(pair.hub().stats().last_error->code(), ErrorCode::CryptoTlsRefused);
}

// Spec: R-32
TEST(TlsLink, RefusesAHubWithAnotherName) {
    EventLoop loop;
    const Certificates certificates(loop);
    const auto hub = certificates.context("mallory");
    const auto node = certificates.context("node");
    Event done(loop);
    UserOf user(just_run);
    RealPair pair(*hub, *node, loop, "::1", user, user);
    TaskScope scope(loop);
    scope.spawn(wait_for_errors(loop, pair, Who::Node, done));
    loop.run(pair.stop_after(done));
    loop.run(scope.join());
    EXPECT_EQ(pair.node().status().sessions, 0U);
    EXPECT_EQ(pair.node().status().last_error->code(), ErrorCode::LinkWrongName);
}

}  // namespace
}  // namespace qiao::link
