#pragma once

#include "qiao/common/id.h"
#include "qiao/common/result.h"
#include "qiao/model/source_position.h"
#include "qiao/packet/header.h"

namespace qiao::engine {

/// Where a stream's chain of packets ends at one holder. Source: rules 2
struct ChainTip {
    StreamPoint point;               ///< (0, 0): no packet yet
    Digest digest;                   ///< of the packet at `point`
    model::SourcePosition position;  ///< of the last whole transaction up to `point`
    bool operator==(const ChainTip&) const = default;
};

/// The tip after `packet`. Errors: packet.too_new.
Result<ChainTip> tip_of(const packet::PacketView& packet);

enum class Verdict : uint8_t {
    Next,       ///< follows the tip: to be kept
    Duplicate,  ///< at or before the tip: already held, if its content is the same
};

/// Whether a packet belongs behind `tip`: right stream, chained to the tip by sequence and digest,
/// or the first of a newer epoch that is chained to it. Everything else is refused, never merged.
/// Errors: engine.foreign_stream, engine.forked, engine.out_of_chain. Spec: R-21. Source: rules 2
Result<Verdict> admit(const ChainTip& tip, StreamId stream, const packet::PacketView& packet);

/// Whether such a packet proves that rows move: what a flow says as it is started again and again
/// (keys, voids, epochs) does not. Spec: R-50
bool shows_life(packet::Kind kind);

}  // namespace qiao::engine
