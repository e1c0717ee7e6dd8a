#pragma once

#include "qiao/apply/input.h"
#include "qiao/engine/chain.h"
#include "qiao/packet/bodies.h"
#include "qiao/packet/header.h"

#include <optional>
#include <vector>

namespace qiao::engine {

/// Turns opened packets of one stream, in order, into what the applier takes. The counterpart of
/// Packer. Spec
class Unpacker {
public:
    /// `from`: everything up to it is applied; the next packet follows it.
    explicit Unpacker(ChainTip from);

    /// Errors: engine.out_of_chain when the packet is not the next; packet.malformed.
    Result<std::vector<apply::Input>> take(const packet::PacketView& view, Bytes body);

    /// The newest sign of life of the source that came by.
    const std::optional<packet::HeartbeatBody>& heartbeat() const { return heartbeat_; }

    const ChainTip& tip() const { return tip_; }

private:
    Status take_rows(Bytes body, const apply::StreamMark& mark, std::vector<apply::Input>& out);

    ChainTip tip_;
    bool open_ = false;  ///< a transaction goes on in the next packet
    model::TransactionHead open_head_;
    uint32_t fragment_ = 0;
    std::optional<packet::HeartbeatBody> heartbeat_;
};

}  // namespace qiao::engine
