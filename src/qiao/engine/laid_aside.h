#pragma once

#include "qiao/apply/intervention.h"
#include "qiao/apply/options.h"
#include "qiao/common/clock.h"
#include "qiao/common/rng.h"
#include "qiao/crypto/data_key.h"
#include "qiao/packet/seal.h"

#include <memory>

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

/// Opens what a LaidAsideSeal of the stream has sealed. Errors: crypto.wrong_key, crypto.forged,
/// packet.malformed, packet.damaged, packet.too_new.
Result<apply::LaidAside> open_laid_aside(
    ByteView sealed, StreamId stream, const packet::ReceiverKeys& receivers
);

}  // namespace qiao::engine
