#pragma once

#include "qiao/common/bytes.h"
#include "qiao/common/id.h"

#include <cstdint>
#include <string>
#include <vector>

namespace qiao::link {

/// A packet has at most this many bytes on a link. Source: rules 4
constexpr size_t kPacketBytesMax = size_t{16} << 20U;
constexpr size_t kLabelBytesMax = 1024;
constexpr size_t kMetadataBytesMax = size_t{64} << 10U;
constexpr size_t kPositionBytesMax = size_t{512} << 10U;
constexpr size_t kLevelPointsMax = 1024;
constexpr size_t kConsumerBytesMax = 256;
constexpr size_t kSignerBytesMax = size_t{4} << 10U;

/// What a sender says of a stream that it wants to move: which, and what the engine above wants to
/// tell about it. The link does not look into the metadata.
struct StreamOffer {
    StreamId stream;
    std::string label;  ///< for people and logs, at most kLabelBytesMax
    Bytes metadata;     ///< at most kMetadataBytesMax
    bool operator==(const StreamOffer&) const = default;
};

/// How far a packet has come. Kept apart, never going back. Source: rules 8
enum class AckLevel : uint8_t {
    Held = 1,     ///< durable at the next hop
    Applied = 2,  ///< committed and flushed at a named consumer
};

/// "Up to this point, with this digest, this level is reached."
struct LevelPoint {
    AckLevel level = AckLevel::Held;
    std::string consumer;  ///< empty for Held; at most kConsumerBytesMax
    StreamPoint point;
    Digest digest;
    bool operator==(const LevelPoint&) const = default;
};

/// What a receiver says of a stream: what it holds, so that the sender knows where to go on.
/// True by itself, may be said again at any time: no answer belongs to it. Source: rules 2, 28
struct StreamState {
    StreamPoint held;       ///< {0, 0}: nothing yet
    Digest digest;          ///< of the packet at `held`
    Bytes position;         ///< last whole transaction's, opaque here; at most kPositionBytesMax
    uint32_t fragment = 0;  ///< fragments held of the transaction after it
    std::vector<LevelPoint> points;  ///< at most kLevelPointsMax
    bool operator==(const StreamState&) const = default;
};

/// A level reached, and who vouches for it. A newer one of the same level and consumer replaces an
/// older one that was not sent or read yet. Source: rules 7, 8
struct Acknowledgement {
    LevelPoint reached;
    Bytes signer;  ///< opaque here, at most kSignerBytesMax; identity must not rest on TLS alone
                   ///< (rules 28)
    bool operator==(const Acknowledgement&) const = default;
};

}  // namespace qiao::link
