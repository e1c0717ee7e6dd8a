#pragma once

#include "qiao/capture/streaming_source.h"
#include "qiao/common/clock.h"
#include "qiao/common/rng.h"
#include "qiao/crypto/data_key.h"
#include "qiao/engine/chain.h"
#include "qiao/packet/bodies.h"
#include "qiao/packet/rows.h"
#include "qiao/packet/seal.h"

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace qiao::engine {

/// Both images of one change together; each of its values has a limit of its own at the source.
constexpr size_t kChangeBytesMost = size_t{512} << 20U;

struct PackerOptions {
    StreamId stream;
    std::string source;             ///< identity of the source, for headers
    std::vector<std::string> path;  ///< this node's name
    packet::Compression compression = packet::Compression::None;
    size_t packet_bytes = packet::kPacketBytesDefault;
    size_t pending_bytes = 4 * packet::kPacketBytesDefault;  ///< full() beyond this
    std::string release{};                                   ///< of this program; empty: not said
};

/// A packet on its way from the packer to the trail.
struct OutPacket {
    packet::OriginHeader origin;
    Bytes wire;
    Digest digest;
};

/// Turns what a source delivers into the chain of sealed packets of one stream. Whole transactions
/// share packets; a transaction over the packet limit becomes fragments, and a change over it
/// pieces. What a source delivers of open transactions goes ahead in provisional packets, which the
/// commit names. Nothing waits for a timer: flush_whole() closes the packet when the next stage is
/// free. Transactions at or before the tip's
/// position are skipped, so that a source may deliver again what is held already.
/// Spec. Source: rules 2, 4, 5, 6, 7
class Packer final : public capture::TransactionSink {
public:
    Packer(PackerOptions options, crypto::SealingKey key, ChainTip tip, Clock& clock, Rng& rng);

    /// A history that does not follow from the last one.
    struct NewHistory {
        Epoch epoch;                  ///< higher than any that the stream has had
        model::SourcePosition start;  ///< all that commits behind it will come
    };

    /// First of all: puts this incarnation's key into the stream, and opens the next epoch if one
    /// is given. `key_body`: packet::wrap_for().
    void open(
        const Bytes& key_body,
        std::optional<packet::EpochBody> epoch,
        std::optional<NewHistory> history = std::nullopt
    );

    void schema(const model::TableSchema& schema) override;
    void begin(const model::TransactionHead& head) override;
    void change(const model::Change& change) override;
    void commit(const model::TransactionHead& head) override;
    void begin_block(uint64_t xid) override;
    void end_block() override;
    void undo_ahead(uint64_t xid, uint32_t sub_xid) override;
    void commit_ahead(const model::TransactionHead& head) override;
    void heartbeat(const capture::Heartbeat& heartbeat) override;

    void progress(const model::SourcePosition& position) override { progress_ = position; }

    bool full() const override { return pending_bytes_ > options_.pending_bytes || refused_; }

    /// The source's session ended: transactions begun and not committed are void, also those of
    /// which something has travelled ahead.
    void discard_open();
    /// Closes the packet under way, if it has anything.
    void flush();
    /// The same, but not in the middle of a transaction: its rest would make a packet of its own.
    void flush_whole();

    /// Whether flush_whole() would close a packet.
    bool has_whole() const { return !rows_.empty() && (!open_ || open_changes_ == 0); }

    /// Whether take() would give something.
    bool has_closed() const { return !out_.empty(); }

    /// Everything delivered lies in packets that were taken.
    bool drained() const { return rows_.empty() && block_rows_.empty() && out_.empty(); }

    /// Transactions of which something has travelled ahead, and that are open.
    size_t travelling() const { return travelling_.size(); }

    /// Of one of them, at most, the sub-transactions undone; their list must fit into a packet.
    size_t most_undone() const { return most_undone_; }

    /// The packets closed since the last call, in order.
    std::vector<OutPacket> take();

    /// The key, for the next packer of this process. Nothing is packed any more.
    crypto::SealingKey take_key() && { return std::move(key_); }

    /// A change that no packet can hold; nothing of its transaction was or will be packed.
    const std::optional<Error>& refused() const { return refused_; }

    const ChainTip& tip() const { return tip_; }

    /// The newest position that the source says may be confirmed when all packets are safe.
    const model::SourcePosition& progress() const { return progress_; }

private:
    /// What has gone ahead of one open transaction.
    struct Travelling {
        std::vector<Sequence> packets;
        std::vector<uint32_t> undone;  ///< sub-transactions, as they come
    };

    packet::OriginHeader next_origin(packet::Kind kind);
    void close(packet::OriginHeader origin, Bytes body);
    void keep(packet::OriginHeader origin, packet::SealedPacket sealed);
    void emit_schemas();
    /// The body that the next change goes into, with its transaction begun there.
    packet::RowsBuilder& body();
    void flush_full();
    void pack_pieces(const model::Change& change);
    void flush_block();
    void note_committed(const model::TransactionHead& head);
    void void_ahead(uint64_t xid);
    void refuse(const model::Change& change, size_t bytes);

    PackerOptions options_;
    crypto::SealingKey key_;
    ChainTip tip_;
    Clock& clock_;
    Rng& rng_;

    packet::RowsBuilder rows_;
    model::SourcePosition last_commit_;  ///< of the packet under way
    WallTime event_first_, event_last_;
    std::optional<model::TransactionHead> open_;
    bool skipping_ = false;    ///< the open transaction is held already
    size_t open_changes_ = 0;  ///< of the open transaction in the packet under way
    bool begins_inside_ = false;
    uint32_t fragment_ = 0;          ///< number of the next fragment of the open transaction
    std::optional<uint64_t> block_;  ///< of this open transaction
    packet::RowsBuilder block_rows_;
    std::map<uint64_t, Travelling> travelling_;
    size_t most_undone_ = 0;
    packet::SchemaBody new_schemas_;
    std::unordered_map<model::SchemaId, model::TableName> known_schemas_;
    std::optional<Error> refused_;

    std::vector<OutPacket> out_;
    size_t pending_bytes_ = 0;
    model::SourcePosition progress_;
};

}  // namespace qiao::engine
