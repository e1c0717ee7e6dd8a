#include "qiao/link/session.h"

#include "qiao/link/frame.h"
#include "qiao/link/internal/frame_reader.h"
#include "qiao/link/two_nodes_test.h"

namespace qiao::link {
namespace {

using namespace testing;

/// Speaks bytes by hand to a session that opens as `b`, and reports how that one ended.
class ByHand {
public:
    ByHand() : network(world, world), scope_(world) {
        listener_ = *network.listen({"", 1});
        scope_.spawn(serve());
        connection_ = *world.run(network.connect({"", 1}, Deadline::never(), stop_));
    }

    HelloFrame hello() const {
        HelloFrame frame;
        frame.node_name = "a";
        return frame;
    }

    /// All is written; then the connection stays open until the session ends it.
    std::optional<Error> say(std::vector<OutFrame> frames) {
        for (const auto& frame : frames) {
            (void)world.run(connection_->write_all(frame.head));
            (void)world.run(connection_->write_all(frame.body));
        }
        StopSignal never;
        (void)world.run(sleep_for(world, world, std::chrono::seconds(3), never));
        while (!end_ && world.step()) {
        }
        return end_;
    }

    /// What the session said, once it has ended.
    std::vector<Frame> heard() {
        internal::FrameReader reader(*connection_, world);
        std::vector<Frame> frames;
        while (auto raw = world.run(reader.next())) {
            frames.push_back(decode(*std::move(raw)).value());
        }
        return frames;
    }

    ManualWorld world;
    MemoryTransport network;

private:
    Task<void> serve() {
        auto connection = co_await listener_->accept();
        AuthenticatedConnection known{*std::move(connection), "a", ""};
        const Deadline deadline{world.now() + std::chrono::seconds(5)};
        auto session =
            co_await Session::open(world, world, std::move(known), named("b"), deadline, stop_);
        end_ = session ? co_await (*session)->run() : session.error();
    }

    std::unique_ptr<Listener> listener_;
    std::unique_ptr<Connection> connection_;
    std::optional<Error> end_;
    StopSignal stop_;
    TaskScope scope_;
};

TEST(SessionOpening, TellsEachSideWhoTheOtherIs) {
    auto a = named("a");
    a.features_optional = 0b0110;
    auto b = named("b");
    b.features_optional = 0b0011;
    TwoNodes nodes(a, b);
    ASSERT_TRUE(nodes.a && nodes.b);
    EXPECT_EQ(nodes.a->peer().name, "b");
    EXPECT_EQ(nodes.b->peer().name, "a");
    EXPECT_EQ(nodes.b->peer().incarnation, a.incarnation);
    EXPECT_EQ(nodes.a->peer().features, 0b0010U);
}

TEST(SessionOpening, RefusesANameThatIsNotInTheCertificate) {
    TwoNodes nodes(named("a"), named("b"), "mallory");
    ASSERT_TRUE(nodes.b_error);
    EXPECT_EQ(nodes.b_error->code(), ErrorCode::LinkWrongName);
    EXPECT_FALSE(nodes.b);
}

TEST(SessionOpening, TellsThePeerWhyItIsRefused) {
    ByHand peer;
    auto hello = peer.hello();
    hello.node_name = "mallory";
    EXPECT_EQ(peer.say({encode(hello)})->code(), ErrorCode::LinkWrongName);
    const auto answer = peer.heard();
    ASSERT_EQ(answer.size(), 2U);
    const auto* farewell = std::get_if<GoodbyeFrame>(&answer.back());
    ASSERT_NE(farewell, nullptr);
    EXPECT_EQ(farewell->code, static_cast<uint16_t>(ErrorCode::LinkWrongName));
}

TEST(SessionOpening, RefusesAnotherPeerThanExpected) {
    auto a = named("a");
    a.expected_peer = "c";
    TwoNodes nodes(a);
    ASSERT_TRUE(nodes.a_error);
    EXPECT_EQ(nodes.a_error->code(), ErrorCode::LinkWrongName);
}

TEST(SessionOpening, RefusesAPeerThatLacksARequiredFeature) {
    auto a = named("a");
    a.features_required = 0b1000;
    TwoNodes nodes(a);
    ASSERT_TRUE(nodes.a_error && nodes.b_error);
    EXPECT_EQ(nodes.a_error->code(), ErrorCode::LinkVersion);
    EXPECT_EQ(nodes.b_error->code(), ErrorCode::LinkVersion);
}

TEST(SessionOpening, RefusesAnotherMajorVersion) {
    ByHand peer;
    auto hello = peer.hello();
    hello.major = kProtocolMajor + 1;
    EXPECT_EQ(peer.say({encode(hello)})->code(), ErrorCode::LinkVersion);
}

TEST(SessionOpening, RefusesWhatIsNoLinkAtAll) {
    ByHand peer;
    const OutFrame http{to_bytes(as_bytes("GET / HTTP/1.1\r\nHost: qiao\r\n\r\n")), {}};
    EXPECT_EQ(peer.say({http})->code(), ErrorCode::LinkProtocol);
}

TEST(SessionOpening, TakesNoLargeFrameBeforeThePeerIsKnown) {
    ByHand peer;
    const DataFrame data{stream_id(1), 1, point(1), Bytes(kHelloBytesMax)};
    EXPECT_EQ(peer.say({encode(data)})->code(), ErrorCode::LinkProtocol);
}

TEST(SessionOpening, GivesUpOnASilentPeerAtTheDeadline) {
    ByHand peer;
    StopSignal never;
    (void)peer.world.run(sleep_for(peer.world, peer.world, std::chrono::seconds(6), never));
    EXPECT_EQ(peer.say({})->code(), ErrorCode::DeadlinePassed);
}

TEST(SessionProtocol, RefusesAFrameThatIsTooLarge) {
    ByHand peer;
    ByteWriter head;
    head.put(static_cast<uint32_t>(kFrameBytesMax + 1));
    head.put(static_cast<uint8_t>(FrameType::Data));
    const OutFrame large{std::move(head).take(), {}};
    EXPECT_EQ(peer.say({encode(peer.hello()), large})->code(), ErrorCode::LinkProtocol);
}

TEST(SessionProtocol, RefusesAMalformedFrame) {
    ByHand peer;
    ByteWriter cut_short;
    cut_short.put(uint32_t{3});
    cut_short.put(static_cast<uint8_t>(FrameType::Window));
    cut_short.append(as_bytes("abc"));
    const OutFrame frame{std::move(cut_short).take(), {}};
    EXPECT_EQ(peer.say({encode(peer.hello()), frame})->code(), ErrorCode::LinkProtocol);
}

TEST(SessionProtocol, SkipsAnOptionalFrameThatItDoesNotKnow) {
    ByHand peer;
    ByteWriter unknown;
    unknown.put(uint32_t{3});
    unknown.put(static_cast<uint8_t>(kOptionalTypes + 7));
    unknown.append(as_bytes("abc"));
    const OutFrame frame{std::move(unknown).take(), {}};
    const GoodbyeFrame farewell{static_cast<uint16_t>(ErrorCode::LinkClosed), "enough"};
    const auto end = peer.say({encode(peer.hello()), frame, encode(farewell)});
    EXPECT_EQ(end->code(), ErrorCode::LinkClosed);
}

TEST(SessionProtocol, DropsWhatBelongsToStreamsThatAreGone) {
    ByHand peer;
    const auto nobody = stream_id(9);
    const GoodbyeFrame farewell{static_cast<uint16_t>(ErrorCode::LinkClosed), "enough"};
    const auto end = peer.say(
        {encode(peer.hello()),
         encode(DataFrame{nobody, 3, point(1), Bytes(10)}),
         encode(AckFrame{nobody, {}}),
         encode(WindowFrame{nobody, 3, 1}),
         encode(WithdrawFrame{nobody, 3}),
         encode(RefuseFrame{nobody, 3, 500, "no"}),
         encode(StateFrame{nobody, 3, 1, {}}),
         encode(ReplyFrame{7, true, 0, {}}),
         encode(ReplyWindowFrame{7, 1}),
         encode(CancelFrame{7}),
         encode(farewell)}
    );
    EXPECT_EQ(end->code(), ErrorCode::LinkClosed);
}

TEST(Session, NoticesASilentPeerByItsClock) {
    TwoNodes nodes;
    nodes.start();
    nodes.wait(std::chrono::minutes(5));
    ASSERT_FALSE(nodes.a_end) << "pings keep a quiet session alive";
    const auto before = nodes.world.now();
    nodes.network.swallow();
    nodes.wait_for_end();
    EXPECT_EQ(nodes.a_end->code(), ErrorCode::LinkIdle);
    EXPECT_EQ(nodes.b_end->code(), ErrorCode::LinkIdle);
    EXPECT_LE(nodes.world.now() - before, std::chrono::seconds(31));
}

TEST(Session, MeasuresTheRoundTrip) {
    TwoNodes nodes;
    nodes.network.set_delay(std::chrono::milliseconds(25));
    nodes.start();
    nodes.wait(std::chrono::seconds(1));
    EXPECT_EQ(nodes.a->stats().round_trip, std::chrono::milliseconds(50));
}

TEST(Session, TellsThePeerWhyItCloses) {
    TwoNodes nodes;
    nodes.network.set_delay(std::chrono::milliseconds(25));
    nodes.start();
    nodes.wait(std::chrono::seconds(1));
    nodes.b->close(Error(ErrorCode::LinkReplaced, "for a newer one"));
    nodes.wait_for_end();
    EXPECT_EQ(nodes.a_end->code(), ErrorCode::LinkReplaced);
    EXPECT_EQ(nodes.a_end->detail(), "b: for a newer one");
    EXPECT_EQ(nodes.b_end->code(), ErrorCode::LinkReplaced);
}

TEST(Session, ClosesInTimeWhenThePeerIsDead) {
    TwoNodes nodes;
    nodes.start();
    nodes.wait(std::chrono::seconds(1));
    nodes.network.swallow();
    const auto before = nodes.world.now();
    nodes.a->close(Error(ErrorCode::LinkClosed, "stopping"));
    while (!nodes.a_end) {
        nodes.world.step();
    }
    EXPECT_LE(nodes.world.now() - before, std::chrono::seconds(3));
    nodes.wait_for_end();
}

}  // namespace
}  // namespace qiao::link
