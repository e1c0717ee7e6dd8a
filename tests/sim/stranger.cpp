#include "stranger.h"

#include "qiao/engine/offer.h"
#include "qiao/engine/packer.h"

namespace qiao::sim {
namespace {

constexpr Duration kConnectMost = seconds(10);

Task<void> run(link::Session& session) { (void)co_await session.run(); }

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
    const auto stream = wish == Wish::Packets ? world_.other_stream() : world_.stream();
    const engine::OfferMetadata metadata{Role::Log, flow, {}};
    const auto outgoing = session.offer({stream, flow, metadata.encode()});
    if (wish == Wish::Packets) {
        co_await send_packets(*outgoing);
    } else if (co_await outgoing->state()) {
        failure_ = "a stranger may send what is not its own";
    }
    outgoing->withdraw(Error(ErrorCode::LinkClosed, "the stranger goes"));
}

Task<void> Stranger::send_packets(link::OutgoingStream& stream) {
    const auto state = co_await stream.state();
    const auto packets = state ? packets_behind(*state) : state.error();
    if (!packets) {
        co_return;
    }
    auto point = state->held;
    for (const auto& wire : *packets) {
        const auto view = packet::PacketView::parse(wire);
        point = {view->origin.epoch, view->origin.sequence};
        if (!co_await stream.send(point, wire)) {
            co_return;
        }
    }
    // What is refused ends the stream, and so does the end of the session.
    while (const auto told = co_await stream.next_acknowledgement()) {
        if (told->reached.point > state->held) {
            failure_ = "a packet of another stream was acknowledged";
        }
    }
}

/// Of the flow's stream, as its source would make them, and in their turn of the other one's chain.
Result<std::vector<Bytes>> Stranger::packets_behind(const link::StreamState& state) {
    auto& chance = world_.clock;
    const auto& receiver = world_.left().identity.receivers.at(World::flow_name());
    auto key = crypto::SealingKey::make(*crypto::find_suite(crypto::SuiteId::Intl), chance);
    QIAO_TRY(const auto wrapped, packet::wrap_for(key, {receiver}));
    engine::PackerOptions options;
    options.stream = world_.stream();
    options.source = World::kStranger;
    options.path = {World::kStranger};
    engine::Packer packer(
        std::move(options), std::move(key), {state.held, state.digest, {}}, chance, chance
    );
    packer.open(wrapped, packet::EpochBody{.reason = "first"});
    std::vector<Bytes> packets;
    for (auto& packet : packer.take()) {
        packets.push_back(std::move(packet.wire));
    }
    return packets;
}

}  // namespace qiao::sim
