#include "qiao/link/stream.h"

#include "qiao/link/two_nodes_test.h"

namespace qiao::link {
namespace {

using namespace testing;

using PacketsByStream = std::map<StreamId, std::vector<Bytes>>;

/// Accepts from the start and takes everything.
class Collector {
public:
    Task<void> serve(IncomingStream& stream) {
        stream.accept({});
        while (true) {
            auto packet = co_await stream.receive();
            if (!packet) {
                ends.push_back(packet.error());
                co_return;
            }
            got[stream.offer().stream].push_back(std::move(packet->packet));
            stream.return_credit(packet->cost);
            LevelPoint held{AckLevel::Held, {}, packet->point, {}};
            Acknowledgement acknowledgement{held, {}};
            stream.acknowledge(acknowledgement);
        }
    }

    HandlerOf handler{[this](IncomingStream& stream) { return serve(stream); }};
    PacketsByStream got;
    std::vector<Error> ends;
};

/// Accepts, and then takes nothing.
Task<void> accept_and_hang(IncomingStream& stream, Event& released) {
    stream.accept({});
    co_await released.wait();
}

Task<void> send_packets(
    Session& session, uint8_t number, size_t count, size_t bytes, size_t& sent, Error& end
) {
    const auto stream = session.offer(offer_of(number));
    const auto state = co_await stream->state();
    if (!state) {
        end = state.error();
        co_return;
    }
    for (size_t i = 1; i <= count; ++i) {
        Bytes packet(bytes, static_cast<std::byte>(i));
        const auto queued = co_await stream->send(point(i), std::move(packet));
        if (!queued) {
            end = queued.error();
            co_return;
        }
        ++sent;
    }
    while (true) {
        const auto acknowledged = co_await stream->next_acknowledgement();
        if (!acknowledged) {
            end = acknowledged.error();
            co_return;
        }
        if (acknowledged->reached.point == point(count)) {
            co_return;
        }
    }
}

/// What send_packets tells.
struct Sending {
    size_t sent = 0;
    Error end{ErrorCode::Cancelled, "did not fail"};

    Task<void> start(Session& session, uint8_t number, size_t count, size_t bytes) {
        return send_packets(session, number, count, bytes, sent, end);
    }

    bool failed() const { return end.detail() != "did not fail"; }
};

// Spec: R-31
TEST(Stream, CarriesPacketsInOrderAndSaysThatTheyAreHeld) {
    TwoNodes nodes;
    Collector collector;
    nodes.b->set_stream_handler(collector.handler);
    nodes.start();
    Sending sending;
    nodes.world.run(sending.start(*nodes.a, 1, 1000, 5000));
    EXPECT_FALSE(sending.failed()) << sending.end.to_string();
    const auto& got = collector.got[stream_id(1)];
    ASSERT_EQ(got.size(), 1000U);
    for (size_t i = 0; i < got.size(); ++i) {
        ASSERT_EQ(got[i], Bytes(5000, static_cast<std::byte>(i + 1)));
    }
    EXPECT_EQ(nodes.a->stats().packets_out, 1000U);
    EXPECT_EQ(nodes.b->stats().packets_in, 1000U);
    EXPECT_EQ(nodes.a->stats().queued_bytes, 0U);
    nodes.finish();
}

TEST(Stream, CarriesPacketsLargerThanTheWindow) {
    auto b = named("b");
    b.window_bytes = 1000;
    TwoNodes nodes(named("a"), b);
    Collector collector;
    nodes.b->set_stream_handler(collector.handler);
    nodes.start();
    Sending sending;
    nodes.world.run(sending.start(*nodes.a, 1, 3, kPacketBytesMax));
    EXPECT_FALSE(sending.failed()) << sending.end.to_string();
    EXPECT_EQ(collector.got[stream_id(1)].size(), 3U);
    nodes.finish();
}

TEST(Stream, RefusesAPacketOverTheLimitAtTheSender) {
    TwoNodes nodes;
    Collector collector;
    nodes.b->set_stream_handler(collector.handler);
    nodes.start();
    Sending sending;
    nodes.world.run(sending.start(*nodes.a, 1, 1, kPacketBytesMax + 1));
    EXPECT_EQ(sending.end.code(), ErrorCode::LinkTooLarge);
    nodes.finish();
}

TEST(Stream, SenderWaitsWhenTheReceiverDoesNotConsume) {
    TwoNodes nodes;
    Event released(nodes.world);
    HandlerOf handler([&](IncomingStream& stream) { return accept_and_hang(stream, released); });
    nodes.b->set_stream_handler(handler);
    nodes.start();
    Sending sending;
    nodes.spawn(sending.start(*nodes.a, 1, 1000, 100'000));
    nodes.wait(std::chrono::minutes(10));
    const auto window = named("b").window_bytes;
    EXPECT_GE(sending.sent * 100'000, window - 200'000);
    EXPECT_LE(sending.sent * 100'000, window + 200'000) << "one packet may overdraw";
    EXPECT_FALSE(nodes.a_end) << "waiting is no failure";
    released.set();
    nodes.finish();
}

TEST(Stream, ManyStreamsShareTheMemoryOfTheReceiver) {
    TwoNodes nodes;
    Event released(nodes.world);
    HandlerOf handler([&](IncomingStream& stream) { return accept_and_hang(stream, released); });
    nodes.b->set_stream_handler(handler);
    nodes.start();
    std::vector<Sending> sendings(200);
    for (size_t i = 0; i < sendings.size(); ++i) {
        nodes.spawn(sendings[i].start(*nodes.a, static_cast<uint8_t>(i), 1000, 10'000));
    }
    nodes.wait(std::chrono::minutes(10));
    uint64_t bytes = 0;
    for (const auto& sending : sendings) {
        bytes += sending.sent * 10'000;
        EXPECT_GT(sending.sent, 0U);
    }
    EXPECT_LE(bytes, named("b").receive_bytes + sendings.size() * 20'000);
    released.set();
    nodes.finish();
}

TEST(Stream, ABlockedStreamDoesNotBlockAnother) {
    TwoNodes nodes;
    Event released(nodes.world);
    Collector collector;
    HandlerOf handler([&](IncomingStream& stream) {
        return stream.offer().stream == stream_id(1) ? accept_and_hang(stream, released)
                                                     : collector.serve(stream);
    });
    nodes.b->set_stream_handler(handler);
    nodes.start();
    Sending blocked;
    Sending flowing;
    nodes.spawn(blocked.start(*nodes.a, 1, 1000, 100'000));
    nodes.world.run(flowing.start(*nodes.a, 2, 1000, 100'000));
    EXPECT_EQ(collector.got[stream_id(2)].size(), 1000U);
    EXPECT_LT(blocked.sent, 100U);
    released.set();
    nodes.finish();
}

// Spec: R-77
TEST(Stream, ManyStreamsShareALimitedRateFairly) {
    auto a = named("a");
    a.bytes_per_second = 1'000'000;
    TwoNodes nodes(a);
    Collector collector;
    nodes.b->set_stream_handler(collector.handler);
    nodes.start();
    Sending small;
    Sending large;
    nodes.spawn(large.start(*nodes.a, 1, 1000, 100'000));
    nodes.spawn(small.start(*nodes.a, 2, 100'000, 1000));
    nodes.wait(std::chrono::seconds(10));
    const auto bytes = [&](uint8_t number) {
        size_t sum = 0;
        for (const auto& packet : collector.got[stream_id(number)]) {
            sum += packet.size();
        }
        return static_cast<double>(sum);
    };
    EXPECT_NEAR(bytes(1) + bytes(2), 10e6, 0.6e6) << "the rate holds";
    EXPECT_NEAR(bytes(1), bytes(2), 1e6);
    nodes.a->set_rate(0);
    nodes.wait(std::chrono::milliseconds(1));
    EXPECT_EQ(collector.got[stream_id(1)].size(), 1000U) << "lifted while it works";
    nodes.finish();
}

Task<void> refuse_as_forked(IncomingStream& stream) {
    stream.refuse(Error(ErrorCode::LinkForked, "sequence 7 with another digest"));
    co_return;
}

TEST(Stream, TellsTheSenderWhyAStreamIsRefused) {
    TwoNodes nodes;
    HandlerOf handler(refuse_as_forked);
    nodes.b->set_stream_handler(handler);
    nodes.start();
    Sending sending;
    nodes.world.run(sending.start(*nodes.a, 1, 1, 1));
    EXPECT_EQ(sending.end.code(), ErrorCode::LinkForked);
    EXPECT_EQ(sending.end.detail(), "b: sequence 7 with another digest");
    EXPECT_FALSE(nodes.a_end) << "only the stream ends";
    nodes.finish();
}

TEST(Stream, IsRefusedByANodeThatTakesNone) {
    TwoNodes nodes;
    nodes.start();
    Sending sending;
    nodes.world.run(sending.start(*nodes.a, 1, 1, 1));
    EXPECT_EQ(sending.end.code(), ErrorCode::LinkRefused);
    nodes.finish();
}

TEST(Stream, OfferedAnewEndsTheOldOneBeforeTheNewBegins) {
    TwoNodes nodes;
    Collector collector;
    nodes.b->set_stream_handler(collector.handler);
    nodes.start();
    for (int round = 1; round <= 3; ++round) {
        Sending sending;
        nodes.world.run(sending.start(*nodes.a, 1, 10, 100));
        EXPECT_FALSE(sending.failed()) << sending.end.to_string();
        EXPECT_EQ(collector.got[stream_id(1)].size(), 10U * static_cast<size_t>(round));
    }
    nodes.wait(std::chrono::seconds(1));
    ASSERT_EQ(collector.ends.size(), 3U);
    EXPECT_EQ(collector.ends.back().code(), ErrorCode::LinkWithdrawn);
    EXPECT_EQ(nodes.b->stats().incoming_streams, 0U);
    nodes.finish();
}

Task<void> say_state(IncomingStream& stream, StreamState state, std::vector<Acknowledgement> acks) {
    stream.accept(state);
    for (auto& acknowledgement : acks) {
        stream.acknowledge(acknowledgement);
    }
    (void)co_await stream.receive();
}

Task<std::vector<Acknowledgement>> read_statements(
    Session& session, ManualWorld& world, StreamState& state
) {
    const auto stream = session.offer(offer_of(1));
    state = (co_await stream->state()).value();
    StopSignal never;
    (void)co_await sleep_for(world, world, std::chrono::seconds(1), never);
    std::vector<Acknowledgement> all;
    all.push_back((co_await stream->next_acknowledgement()).value());
    all.push_back((co_await stream->next_acknowledgement()).value());
    co_return all;
}

TEST(Stream, CarriesStatementsWholeAndOnlyTheNewestOfEach) {
    TwoNodes nodes;
    Digest digest;
    digest.bytes.fill(std::byte{7});
    const LevelPoint held{AckLevel::Held, {}, point(9), digest};
    const LevelPoint applied{AckLevel::Applied, "centre", point(4), digest};
    const StreamState said{point(9), digest, to_bytes(as_bytes("0/16B3748")), 3, {held, applied}};
    std::vector<Acknowledgement> acks;
    for (uint64_t i = 1; i <= 9; ++i) {
        acks.push_back({{AckLevel::Held, {}, point(i), digest}, to_bytes(as_bytes("signature"))});
    }
    acks.push_back({applied, {}});
    HandlerOf handler([&](IncomingStream& stream) { return say_state(stream, said, acks); });
    nodes.b->set_stream_handler(handler);
    nodes.start();
    StreamState heard;
    const auto got = nodes.world.run(read_statements(*nodes.a, nodes.world, heard));
    EXPECT_EQ(heard, said);
    EXPECT_EQ(got.front(), acks[8]);
    EXPECT_EQ(got.back(), acks[9]);
    nodes.finish();
}

TEST(Stream, EndsWithItsSession) {
    TwoNodes nodes;
    Event released(nodes.world);
    Collector collector;
    nodes.b->set_stream_handler(collector.handler);
    nodes.start();
    Sending sending;
    nodes.spawn(sending.start(*nodes.a, 1, 1'000'000, 1000));
    nodes.network.cut_after(5'000'000);
    nodes.wait_for_end();
    EXPECT_EQ(sending.end.code(), ErrorCode::NetworkClosed);
    ASSERT_EQ(collector.ends.size(), 1U);
    EXPECT_EQ(collector.ends.front().code(), ErrorCode::NetworkClosed);
    EXPECT_LE(collector.got[stream_id(1)].size(), sending.sent);
    nodes.finish();
}

}  // namespace
}  // namespace qiao::link
