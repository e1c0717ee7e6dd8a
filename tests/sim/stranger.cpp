#include "stranger.h"

#include "qiao/common/async/sleep.h"
#include "qiao/engine/offer.h"
#include "qiao/engine/remote_target.h"

#include <algorithm>
#include <array>

namespace qiao::sim {
namespace {

constexpr Duration kConnectMost = seconds(10);

Task<void> run(link::Session& session) { (void)co_await session.run(); }

packet::OriginHeader behind(const engine::OutPacket& packet) {
    auto origin = packet.origin;
    origin.previous_sequence = origin.sequence;
    origin.previous_digest = packet.digest;
    origin.sequence = origin.sequence.next();
    return origin;
}

/// In the chain's turn, and not what its receiver may take.
Bytes with_wrong_header(const engine::OutPacket& packet, Rng& rng) {
    constexpr uint64_t kFlips = 12;
    const auto chance = rng.number();
    auto origin = packet.origin;
    const auto again = [&] {
        auto key = crypto::SealingKey::make(*crypto::find_suite(crypto::SuiteId::Intl), rng);
        return packet::seal(origin, {}, Bytes(20), key, packet::Compression::None).wire;
    };
    origin.kind = packet::Kind::Rows;
    switch (chance % 8) {
        case 0:
            origin.required_features = 1ULL << 40U;
            return again();
        case 1:
            origin.kind = static_cast<packet::Kind>(99);
            return again();
        case 2:
            origin.sequence.value += 5;
            return again();
        case 3:
            origin.previous_digest = {};
            return origin.previous_sequence.value == 0 ? Bytes(3) : again();
        case 4:
            return to_bytes(ByteView(packet.wire).first(packet.wire.size() / 2));
        default: {
            auto wire = packet.wire;
            wire[chance / 8 % kFlips] ^= std::byte{0x40};
            return wire;
        }
    }
}

/// The body of a kind that the header gets to name; what is random may have a meaning by chance,
/// and an unknown mark in front has none.
Bytes nonsense(packet::OriginHeader& origin, uint64_t chance) {
    using packet::Kind;
    constexpr auto kKinds =
        std::to_array({Kind::Rows, Kind::Rows, Kind::Rows, Kind::Schema, Kind::Epoch, Kind::Verify}
        );
    origin.kind = kKinds[chance % kKinds.size()];
    chance /= kKinds.size();
    if (origin.kind != Kind::Rows) {
        return Bytes(1, std::byte{0xFF});
    }
    model::TransactionHead head;
    head.xid = 1;
    head.commit = head.end = model::SourcePosition::lsn(1, 1, 1);
    packet::RowsBuilder rows;
    rows.begin(head, 0);
    if (chance % 3 == 1) {
        rows.ahead({});
        rows.commit(head);
    }
    auto body = rows.take();
    if (chance % 3 == 0) {
        body.front() = std::byte{0xEE};
    } else if (chance % 3 == 2) {
        constexpr std::string_view kMarks = "IUDTLPSCB";
        body.push_back(std::byte(kMarks[chance / 3 % kMarks.size()]));
    }
    return body;
}

}  // namespace

Stranger::~Stranger() {
    stop_.request();
    while (visiting_ && world_.clock.step()) {
    }
}

void Stranger::offer(Wish wish) {
    if (!visiting_) {
        visiting_ = true;
        scope_.spawn(visit(wish));
    }
}

Task<Result<std::unique_ptr<link::Session>>> Stranger::connect() {
    const Deadline deadline{world_.clock.now() + kConnectMost};
    const auto& to = world_.left().config.peers.front().address;
    QIAO_CO_TRY(auto raw, co_await world_.network.connect(to, deadline, stop_));
    link::PlainAuthenticator authenticator(world_.clock, World::kStranger);
    QIAO_CO_TRY(
        auto known,
        co_await authenticator.authenticate(
            std::move(raw), crypto::TlsRole::Client, deadline, stop_
        )
    );
    link::SessionOptions options;
    options.node_name = World::kStranger;
    options.incarnation = world_.clock.make_id<Incarnation>();
    co_return co_await link::Session::open(
        world_.clock, world_.clock, std::move(known), std::move(options), deadline, stop_
    );
}

Task<void> Stranger::visit(Wish wish) {
    if (const auto session = co_await connect()) {
        const Error over(ErrorCode::LinkClosed, "the stranger goes");
        const auto close = [&] { (*session)->close(over); };
        const StopSignal::Hook hook(stop_, close);
        TaskScope scope(world_.clock);
        scope.spawn(run(**session));
        co_await offer(**session, wish);
        close();
        co_await scope.join();
    }
    visiting_ = false;
}

Task<void> Stranger::offer(link::Session& session, Wish wish) {
    using Role = engine::OfferMetadata::Role;
    const auto flow = wish == Wish::Flow ? World::flow_name() : World::kOtherFlow;
    const bool own = wish != Wish::Flow && wish != Wish::Stream;
    const auto stream = own ? world_.other_stream() : world_.stream();
    const engine::OfferMetadata metadata{Role::Log, flow, {}};
    const auto outgoing = session.offer({stream, flow, metadata.encode()});
    if (own) {
        co_await send_packets(*outgoing, wish);
    } else if (co_await outgoing->state()) {
        failure_ = "a stranger may send what is not its own";
    } else if (wish == Wish::Flow && co_await ask(session, flow, engine::kStartApplyMethod)) {
        failure_ = "a stranger may have applied what is not its own";
    }
    if (wish == Wish::Body && co_await ask(session, flow, engine::kStartApplyMethod)) {
        co_await see_it_said(*outgoing);
    }
    outgoing->withdraw(Error(ErrorCode::LinkClosed, "the stranger goes"));
}

Task<Status> Stranger::ask(link::Session& session, std::string flow, std::string method) {
    ByteWriter argument;
    argument.put_sized(flow);
    const Deadline deadline{world_.clock.now() + kConnectMost};
    QIAO_CO_TRY(
        const auto reply,
        co_await session.call(std::move(method), std::move(argument).take(), deadline)
    );
    co_return Status{};
}

/// Unless the session ends before, and perhaps the node with it.
Task<void> Stranger::see_it_said(const link::OutgoingStream& stream) {
    constexpr int kLooks = 120;
    for (int looks = 0; looks < kLooks; ++looks) {
        const auto& process = world_.right().process;
        if (stream.ended() || !process || process->status().flows.back().last_error) {
            co_return;
        }
        if (!co_await sleep_for(world_.clock, world_.clock, milliseconds(500), stop_)) {
            co_return;
        }
    }
    failure_ = "a packet without a meaning is held, and nobody says so";
}

Task<void> Stranger::send_packets(link::OutgoingStream& stream, Wish wish) {
    const auto state = co_await stream.state();
    const auto packets = state ? packets_behind(*state, wish) : state.error();
    if (!packets) {
        co_return;
    }
    // Where a header is wrong, it is the first.
    StreamPoint point{state->held.epoch.next(), {}};
    for (const auto& wire : *packets) {
        point.sequence = point.sequence.next();
        if (!co_await stream.send(point, wire)) {
            co_return;
        }
    }
    // What is refused ends the stream, and so does the end of the session.
    while (const auto told = co_await stream.next_acknowledgement()) {
        const auto& reached = told->reached.point;
        if (wish == Wish::Body && reached >= point) {
            co_return;
        }
        if (wish != Wish::Body && reached > state->held) {
            failure_ = wish == Wish::Header ? "a packet with a wrong header was acknowledged"
                                            : "a packet of another stream was acknowledged";
        }
    }
}

/// As its source would make them: of the flow's stream in their turn of the other one's chain, or
/// of that one, and wrong.
Result<std::vector<Bytes>> Stranger::packets_behind(const link::StreamState& state, Wish wish) {
    auto& chance = world_.clock;
    const auto& receiver = world_.left().identity.receivers.at(World::flow_name());
    auto key = crypto::SealingKey::make(*crypto::find_suite(crypto::SuiteId::Intl), chance);
    QIAO_TRY(const auto wrapped, packet::wrap_for(key, {receiver}));
    engine::PackerOptions options;
    options.stream = wish == Wish::Packets ? world_.stream() : world_.other_stream();
    options.source = World::kStranger;
    options.path = {World::kStranger};
    engine::Packer packer(
        std::move(options), std::move(key), {state.held, state.digest, {}}, chance, chance
    );
    packer.open(wrapped, packet::EpochBody{.reason = "first"});
    auto made = packer.take();
    if (wish == Wish::Header) {
        return std::vector<Bytes>{with_wrong_header(made.front(), chance)};
    }
    std::vector<Bytes> packets;
    for (auto& packet : made) {
        packets.push_back(packet.wire);
    }
    if (wish == Wish::Body) {
        QIAO_TRY(auto more, without_meaning(made.back()));
        std::ranges::move(more, std::back_inserter(packets));
    }
    return packets;
}

/// A key, and a packet that is sealed by it and says nothing.
Result<std::vector<Bytes>> Stranger::without_meaning(const engine::OutPacket& last) {
    auto& chance = world_.clock;
    const auto& receiver = world_.left().identity.receivers.at(World::flow_name());
    const auto& suite = *crypto::find_suite(crypto::SuiteId::Intl);
    auto key = crypto::SealingKey::make(suite, chance);
    QIAO_TRY(const auto wrapped, packet::wrap_for(key, {receiver}));
    auto origin = behind(last);
    origin.kind = packet::Kind::Key;
    const auto framed = packet::frame_key_packet(origin, suite, wrapped);
    origin = behind({origin, framed.wire, framed.digest});
    auto body = nonsense(origin, chance.number());
    const auto sealed = packet::seal(origin, {}, std::move(body), key, packet::Compression::None);
    return std::vector<Bytes>{framed.wire, sealed.wire};
}

}  // namespace qiao::sim
