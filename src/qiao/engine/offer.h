#pragma once

#include "qiao/common/bytes.h"
#include "qiao/common/result.h"

#include <cstdint>
#include <string>
#include <vector>

namespace qiao::engine {

/// What a sender tells of a stream when it offers it: the metadata of link::StreamOffer.
/// Layout: docs/reference/formats/link.md
struct OfferMetadata {
    enum class Role : uint8_t {
        Log = 1,   ///< the flow's stream of changes, kept in the receiver's trail
        Load = 2,  ///< one part of a first load, straight into the target
    } role = Role::Log;
    std::string flow;  ///< the flow's name in both configurations
    /// Of the keys that packets to come may name, the most important first.
    std::vector<Bytes> key_packets;

    /// The first keys are kept when not all fit into the link's bound.
    Bytes encode() const;
    /// Errors: link.protocol.
    static Result<OfferMetadata> decode(ByteView bytes);
};

}  // namespace qiao::engine
