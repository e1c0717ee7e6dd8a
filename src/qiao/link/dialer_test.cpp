#include "qiao/link/dialer.h"

#include "qiao/link/acceptor.h"
#include "qiao/link/two_nodes_test.h"

#include <algorithm>
#include <set>

namespace qiao::link {
namespace {

using namespace testing;

/// A hub that accepts, and nodes that dial to it, over a network with faults.
class Star {
public:
    explicit Star(uint64_t seed = 1) : world(seed), network(world, world), scope_(world) {}

    ~Star() {
        scope_.request_stop();
        world.run(scope_.join());
    }

    void start_hub(SessionUser& user, AcceptorOptions options = {}) {
        options.at = {"", kPort};
        options.session = named("hub");
        hub = std::make_unique<Acceptor>(
            world, world, network, hub_authenticator_, std::move(options), user
        );
        ASSERT_TRUE(hub->listen());
        scope_.spawn(hub->run(scope_.stop()));
    }

    Dialer& start_node(const std::string& name, SessionUser& user) {
        auto& authenticator =
            *authenticators_.emplace_back(std::make_unique<PlainAuthenticator>(world, name));
        DialerOptions options{.to = {"hub", kPort}, .session = named(name)};
        options.session.expected_peer = "hub";
        auto& dialer = *dialers_.emplace_back(std::make_unique<Dialer>(
            world, world, world, network, authenticator, std::move(options), user
        ));
        scope_.spawn(dialer.run(scope_.stop()));
        return dialer;
    }

    void wait(Duration duration) {
        StopSignal never;
        (void)world.run(sleep_for(world, world, duration, never));
    }

    TaskScope& scope() { return scope_; }

    static constexpr uint16_t kPort = 7000;
    ManualWorld world;
    MemoryTransport network;
    std::unique_ptr<Acceptor> hub;

private:
    PlainAuthenticator hub_authenticator_{world, "hub"};
    std::vector<std::unique_ptr<PlainAuthenticator>> authenticators_;
    std::vector<std::unique_ptr<Dialer>> dialers_;
    TaskScope scope_;
};

/// Runs sessions and remembers how they ended.
class Sessions {
public:
    Task<void> use(Session& session) {
        ++at_work;
        most_at_work = std::max(most_at_work, at_work);
        ends.push_back(co_await session.run());
        --at_work;
    }

    UserOf user{[this](Session& session) { return use(session); }};
    std::vector<Error> ends;
    int at_work = 0;
    int most_at_work = 0;
};

// Spec: R-52
TEST(Dialer, BacksOffWhileTheHubIsAwayAndConnectsWhenItIsBack) {
    Sessions at_node;
    Sessions at_hub;
    Star star;
    auto& dialer = star.start_node("a", at_node.user);
    star.wait(std::chrono::minutes(10));
    EXPECT_EQ(dialer.status().state, DialerState::Waiting);
    EXPECT_EQ(dialer.status().last_error->code(), ErrorCode::NetworkUnreachable);
    EXPECT_GE(dialer.status().tries, 600U / 15);
    EXPECT_LE(dialer.status().tries, 70U) << "pauses grow";
    star.start_hub(at_hub.user);
    star.wait(std::chrono::seconds(20));
    EXPECT_EQ(dialer.status().state, DialerState::Up);
    ASSERT_NE(dialer.status().session, nullptr);
    EXPECT_EQ(dialer.status().session->peer().name, "hub");
    ASSERT_EQ(star.hub->sessions().size(), 1U);
}

TEST(Dialer, ConnectsAgainSoonAfterACut) {
    Sessions at_node;
    Sessions at_hub;
    Star star;
    star.start_hub(at_hub.user);
    auto& dialer = star.start_node("a", at_node.user);
    for (uint64_t round = 1; round <= 5; ++round) {
        star.wait(std::chrono::minutes(1));
        ASSERT_EQ(dialer.status().sessions, round);
        star.network.cut();
        star.wait(std::chrono::milliseconds(150));
        ASSERT_EQ(dialer.status().state, DialerState::Up);
    }
    EXPECT_EQ(at_node.ends.size(), 5U);
    EXPECT_EQ(at_hub.ends.size(), 5U);
    EXPECT_EQ(at_hub.most_at_work, 1);
}

TEST(Dialer, TriesAtOnceWhenAsked) {
    Sessions at_node;
    Sessions at_hub;
    Star star;
    auto& dialer = star.start_node("a", at_node.user);
    star.wait(std::chrono::minutes(10));
    star.start_hub(at_hub.user);
    dialer.retry_now();
    star.wait(std::chrono::milliseconds(1));
    EXPECT_EQ(dialer.status().state, DialerState::Up);
}

TEST(Dialer, TellsTheHubWhenItStops) {
    Sessions at_hub;
    {
        Sessions at_node;
        Star star;
        star.start_hub(at_hub.user);
        star.start_node("a", at_node.user);
        star.wait(std::chrono::seconds(1));
        star.scope().request_stop();
        star.world.run(star.scope().join());
        EXPECT_EQ(at_node.ends.front().code(), ErrorCode::LinkClosed);
    }
    ASSERT_EQ(at_hub.ends.size(), 1U);
    EXPECT_EQ(at_hub.ends.front().code(), ErrorCode::LinkClosed);
}

TEST(Acceptor, TurnsAwayANodeThatIsNotEntered) {
    Sessions at_node;
    Sessions at_hub;
    Star star;
    AcceptorOptions options;
    options.admit = [](const PeerInfo& peer) -> Status {
        return peer.name == "a" ? Status{} : Error(ErrorCode::LinkUnknownPeer, peer.name);
    };
    star.start_hub(at_hub.user, std::move(options));
    auto& known = star.start_node("a", at_node.user);
    auto& stranger = star.start_node("x", at_node.user);
    star.wait(std::chrono::minutes(1));
    EXPECT_EQ(known.status().state, DialerState::Up);
    EXPECT_EQ(stranger.status().last_error->code(), ErrorCode::LinkUnknownPeer);
    EXPECT_LE(stranger.status().sessions, 15U) << "a refused node backs off";
    EXPECT_EQ(star.hub->stats().last_error->code(), ErrorCode::LinkUnknownPeer);
    EXPECT_EQ(star.hub->sessions().size(), 1U);
}

TEST(Acceptor, TheNewestSessionOfANodeWinsAndTheOldOneEndsFirst) {
    Sessions at_hub;
    Sessions old_process;
    Sessions new_process;
    Star star;
    star.start_hub(at_hub.user);
    star.start_node("a", old_process.user);
    star.wait(std::chrono::seconds(5));
    star.network.swallow();  // the hub cannot know yet
    star.start_node("a", new_process.user);
    star.wait(std::chrono::seconds(5));
    EXPECT_EQ(at_hub.most_at_work, 1);
    ASSERT_EQ(at_hub.ends.size(), 1U);
    EXPECT_EQ(at_hub.ends.front().code(), ErrorCode::LinkReplaced);
    EXPECT_EQ(new_process.at_work, 1);
    EXPECT_EQ(star.hub->stats().replaced, 1U);
}

Task<void> connect_silently(Star& star, std::vector<std::unique_ptr<Connection>>& kept) {
    StopSignal never;
    auto connection = co_await star.network.connect({"hub", Star::kPort}, Deadline::never(), never);
    kept.push_back(*std::move(connection));
}

TEST(Acceptor, BoundsConnectionsThatDoNotAuthenticateInNumberAndTime) {
    Sessions at_hub;
    Sessions at_node;
    Star star;
    star.start_hub(at_hub.user);
    std::vector<std::unique_ptr<Connection>> silent;
    for (int i = 0; i < 200; ++i) {
        star.world.run(connect_silently(star, silent));
    }
    star.wait(std::chrono::seconds(1));
    EXPECT_EQ(star.hub->stats().handshakes, 64U);
    EXPECT_EQ(star.hub->stats().turned_away, 136U);
    star.wait(std::chrono::seconds(10));
    EXPECT_EQ(star.hub->stats().handshakes, 0U);
    auto& dialer = star.start_node("a", at_node.user);
    star.wait(std::chrono::seconds(1));
    EXPECT_EQ(dialer.status().state, DialerState::Up);
}

/// What the engine will do, in small: streams of packets that a sender holds and a receiver
/// collects, each going on from the receiver's state after every cut.
class Carriage {
public:
    Carriage(Star& star, uint64_t seed, size_t streams, size_t packets)
        : star_(star), random_(seed), done_(star.world) {
        for (size_t i = 0; i < streams; ++i) {
            auto& source = sources_[stream_id(static_cast<uint8_t>(i + 1))];
            for (size_t k = random_() % packets; k < packets; ++k) {
                const size_t most = random_() % 10 == 0 ? 400'000 : 3000;
                source.push_back(random_bytes(random_, random_() % most));
            }
        }
        left_ = streams;
    }

    Task<void> send_all(Session& session) {
        TaskScope scope(star_.world);
        for (const auto& [id, source] : sources_) {
            scope.spawn(send_one(session, id, source));
        }
        (void)co_await session.run();
        co_await scope.join();
    }

    Task<void> receive_all(Session& session) {
        session.set_stream_handler(handler_);
        (void)co_await session.run();
    }

    Task<void> break_things() {
        while (!done_.is_set()) {
            const Duration pause = std::chrono::microseconds(random_() % 200'000);
            (void)co_await sleep_for(star_.world, star_.world, pause, star_.scope().stop());
            switch (random_() % 4) {
                case 0:
                    star_.network.cut();
                    break;
                case 1:
                    star_.network.swallow();
                    break;
                default:
                    star_.network.cut_after(random_() % 500'000 + 1);
                    break;
            }
            ++breaks;
        }
    }

    Task<void> finished() { co_await done_.wait(); }

    UserOf sender{[this](Session& session) { return send_all(session); }};
    UserOf receiver{[this](Session& session) { return receive_all(session); }};

    const std::map<StreamId, std::vector<Bytes>>& sources() const { return sources_; }

    std::map<StreamId, std::vector<Bytes>> received;
    int breaks = 0;

private:
    Task<void> send_one(Session& session, StreamId id, const std::vector<Bytes>& source) {
        const auto stream = session.offer({id, "stream", {}});
        const auto state = co_await stream->state();
        if (!state) {
            co_return;
        }
        for (auto next = state->held.sequence.value; next < source.size(); ++next) {
            if (!co_await stream->send(point(next + 1), source[next])) {
                co_return;
            }
        }
        // What was acknowledged into a connection that was cut is said again by the state.
        auto& acknowledged = acknowledged_[id];
        acknowledged = std::max(acknowledged, state->held.sequence.value);
        while (acknowledged < source.size()) {
            const auto held = co_await stream->next_acknowledgement();
            if (!held) {
                co_return;
            }
            acknowledged = held->reached.point.sequence.value;
        }
        if (finished_.insert(id).second && --left_ == 0) {
            done_.set();
        }
        (void)co_await stream->next_acknowledgement();
    }

    Task<void> receive_one(IncomingStream& stream) {
        auto& got = received[stream.offer().stream];
        StreamState state;
        state.held = point(got.size());
        stream.accept(state);
        while (auto packet = co_await stream.receive()) {
            EXPECT_EQ(packet->point, point(got.size() + 1)) << "in order, none twice";
            got.push_back(std::move(packet->packet));
            if (random_() % 4 == 0) {
                const Duration pause = std::chrono::microseconds(random_() % 2000);
                (void)co_await sleep_for(star_.world, star_.world, pause, star_.scope().stop());
            }
            stream.return_credit(packet->cost);
            LevelPoint held{AckLevel::Held, {}, point(got.size()), {}};
            Acknowledgement acknowledgement{held, {}};
            stream.acknowledge(acknowledgement);
        }
    }

    Star& star_;
    std::mt19937_64 random_;
    std::map<StreamId, std::vector<Bytes>> sources_;
    std::map<StreamId, uint64_t> acknowledged_;
    std::set<StreamId> finished_;
    size_t left_ = 0;
    HandlerOf handler_{[this](IncomingStream& stream) { return receive_one(stream); }};
    Event done_;
};

// Spec
TEST(Link, CarriesStreamsExactlyOnceThroughCutsAndSilences) {
    int breaks = 0;
    for (uint64_t seed = 1; seed <= 25; ++seed) {
        Star star(seed);
        std::mt19937_64 random(seed);
        star.network.set_delay(std::chrono::microseconds(random() % 3000));
        if (random() % 2 == 0) {
            star.network.set_chunk_bytes(random() % 5000 + 700);
        }
        Carriage carriage(star, seed, random() % 8 + 1, 100);
        star.start_hub(carriage.receiver);
        star.start_node("a", carriage.sender);
        star.scope().spawn(carriage.break_things());
        star.world.run(carriage.finished());
        ASSERT_EQ(carriage.received, carriage.sources()) << "seed " << seed;
        breaks += carriage.breaks;
        star.scope().request_stop();
        star.world.run(star.scope().join());
    }
    EXPECT_GT(breaks, 100) << "the faults must have happened";
}

}  // namespace
}  // namespace qiao::link
