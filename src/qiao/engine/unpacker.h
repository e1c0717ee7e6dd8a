#pragma once

#include "qiao/apply/input.h"
#include "qiao/engine/chain.h"
#include "qiao/engine/fragment_reader.h"
#include "qiao/packet/bodies.h"
#include "qiao/packet/header.h"

#include <map>
#include <optional>
#include <variant>
#include <vector>

namespace qiao::engine {

/// A committed transaction whose changes have travelled ahead: whoever feeds the applier reads
/// those packets again and sends their fragments in its place. Source: rules 5
struct Recall {
    model::TransactionHead head;
    packet::Ahead ahead;
    Epoch epoch;
    apply::StreamMark mark;  ///< once it is applied
};

/// One packet that travelled ahead, as the `number`th fragment of its transaction, without what was
/// undone since. Errors: packet.malformed when it is not one of this transaction's.
Result<apply::Fragment> recall_fragment(
    FragmentReader& reader,
    const Recall& recall,
    size_t number,
    const packet::PacketView& view,
    Bytes body
);

/// Turns opened packets of one stream, in order, into what the applier takes. The counterpart of
/// Packer.
///
/// While something has travelled ahead of a commit, no mark moves past it: checkpoint, custody and
/// retention stay before its first packet, so that it is there when the commit comes, also after a
/// restart. What is applied meanwhile is skipped then by its position. Spec.
/// Source: rules 2, 4, 5
class Unpacker {
public:
    /// `from`: everything up to it is applied; the next packet follows it.
    explicit Unpacker(ChainTip from);

    /// Errors: engine.out_of_chain when the packet is not the next; packet.malformed.
    Result<std::vector<std::variant<apply::Input, Recall>>> take(
        const packet::PacketView& view, Bytes body
    );

    /// The newest sign of life of the source that came by.
    const std::optional<packet::HeartbeatBody>& heartbeat() const { return heartbeat_; }

    const ChainTip& tip() const { return tip_; }

private:
    using Out = std::vector<std::variant<apply::Input, Recall>>;

    Status take_rows(Bytes body, const apply::StreamMark& mark, Out& out);
    Status take_control(const packet::PacketView& view, ByteView body);
    Status take_epoch(
        const packet::PacketView& view, ByteView body, const apply::StreamMark& mark, Out& out
    );
    apply::StreamMark held_back(const apply::StreamMark& mark) const;

    ChainTip tip_;
    FragmentReader reader_;
    std::map<uint64_t, apply::StreamMark> ahead_;  ///< by xid: what lies before its first packet
    bool open_ = false;                            ///< a transaction goes on in the next packet
    model::TransactionHead open_head_;
    uint32_t fragment_ = 0;
    std::optional<packet::HeartbeatBody> heartbeat_;
};

}  // namespace qiao::engine
