#pragma once

#include "qiao/engine/packer.h"
#include "qiao/link/session.h"

#include "world.h"

#include <string>

namespace qiao::sim {

/// A third node, whose name the target's node knows as the peer of another flow. It offers what is
/// not its own, and nothing of that may be taken. Source: rules 2
class Stranger {
public:
    explicit Stranger(World& world) : world_(world), scope_(world.clock) {}

    ~Stranger();

    enum class Wish : uint8_t {
        Flow,     ///< the flow of somebody else
        Stream,   ///< its own flow, with somebody else's stream
        Packets,  ///< its own stream, with packets of another
        Header,   ///< its own stream, with a packet whose header is wrong
        Body,     ///< its own stream, with a packet in which there is nothing that has a meaning
    };
    static constexpr uint64_t kWishes = 5;

    /// Of its stream: packets up to here have a meaning.
    static constexpr uint64_t kMeansSomething = 3;

    /// Connects and offers, unless it is at it; faults of the network end that.
    void offer(Wish wish);

    /// What was taken from it; empty: nothing.
    const std::string& failure() const { return failure_; }

private:
    Task<void> visit(Wish wish);
    Task<Result<std::unique_ptr<link::Session>>> connect();
    Task<void> offer(link::Session& session, Wish wish);
    Task<void> send_packets(link::OutgoingStream& stream, Wish wish);
    Task<Status> ask(link::Session& session, std::string flow, std::string method);
    Task<void> see_it_said(const link::OutgoingStream& stream);
    Result<std::vector<Bytes>> packets_behind(const link::StreamState& state, Wish wish);
    Result<std::vector<Bytes>> without_meaning(const engine::OutPacket& last);

    World& world_;
    bool visiting_ = false;
    std::string failure_;
    StopSignal stop_;
    TaskScope scope_;
};

}  // namespace qiao::sim
