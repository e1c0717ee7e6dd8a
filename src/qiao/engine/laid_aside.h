#pragma once

#include "qiao/apply/intervention.h"
#include "qiao/apply/options.h"
#include "qiao/common/clock.h"
#include "qiao/common/rng.h"
#include "qiao/crypto/data_key.h"
#include "qiao/packet/seal.h"

#include <memory>
#include <set>

namespace qiao::engine {

/// Seals changes that a target lays aside, for the holder of its wrapping key alone: the database
/// that keeps them does not read them. One for a process and stream.
/// Layout: docs/reference/formats/laid_aside.md. Source: rules 21. Spec: R-74
class LaidAsideSeal {
public:
    /// Errors: those of wrapping a key for `receiver`.
    static Result<LaidAsideSeal> make(
        const crypto::Suite& suite,
        const crypto::PublicKey& receiver,
        StreamId stream,
        Clock& clock,
        Rng& rng
    );

    /// Errors: packet.too_large.
    Result<Bytes> seal(const model::TransactionHead& head, const model::Change& change);

private:
    LaidAsideSeal(crypto::SealingKey key, StreamId stream, Clock& clock)
        : key_(std::move(key)), stream_(stream), clock_(&clock) {}

    crypto::SealingKey key_;
    StreamId stream_;
    Clock* clock_;
    Bytes key_packet_;
    uint64_t sealed_ = 0;
};

/// For ApplierOptions::seal.
apply::SealChange sealing(LaidAsideSeal seal);

/// Opens what LaidAsideSeals of the stream have sealed, each of their keys unwrapped once: that
/// costs more than all else.
class LaidAsideOpener {
public:
    LaidAsideOpener(StreamId stream, packet::ReceiverKeys receivers)
        : stream_(stream), ring_(std::move(receivers)) {}

    /// Errors: crypto.wrong_key, crypto.forged, packet.malformed, packet.damaged, packet.too_new.
    Result<apply::LaidAside> open(ByteView sealed);

private:
    Status add_key(const packet::PacketView& view, ByteView wire);

    StreamId stream_;
    packet::KeyRing ring_;
    std::set<Bytes> known_;  ///< key packets
};

/// For ReplayOptions::open.
apply::OpenChange opening(StreamId stream, packet::ReceiverKeys receivers);

}  // namespace qiao::engine
