#include "qiao/engine/packer.h"

#include "qiao/common/assert.h"
#include "qiao/common/plant.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::engine {

using packet::Kind;

namespace {

std::vector<packet::Ahead::Range> ranges_of(std::vector<uint32_t>& ids) {
    std::ranges::sort(ids);
    std::vector<packet::Ahead::Range> ranges;
    for (const auto id : ids) {
        if (!ranges.empty() && id - ranges.back().last <= 1) {
            ranges.back().last = id;
        } else {
            ranges.push_back({id, id});
        }
    }
    return ranges;
}

}  // namespace

Packer::Packer(PackerOptions options, crypto::SealingKey key, ChainTip tip, Clock& clock, Rng& rng)
    : options_(std::move(options)),
      key_(std::move(key)),
      tip_(std::move(tip)),
      clock_(clock),
      rng_(rng),
      last_commit_(tip_.position) {}

packet::OriginHeader Packer::next_origin(Kind kind) {
    packet::OriginHeader origin;
    origin.kind = kind;
    origin.stream = options_.stream;
    origin.source = options_.source;
    origin.epoch = tip_.point.epoch;
    origin.sequence = tip_.point.sequence.next();
    origin.previous_sequence = tip_.point.sequence;
    origin.previous_digest = tip_.digest;
    origin.first = tip_.position;
    origin.last = tip_.position;
    origin.captured = clock_.wall_now();
    origin.trace = rng_.make_id<TraceId>();
    origin.path = options_.path;
    if (!options_.release.empty()) {
        origin.optional_features = packet::kFeatureRelease;
        origin.release = options_.release;
    }
    return origin;
}

void Packer::keep(packet::OriginHeader origin, packet::SealedPacket sealed) {
    tip_ = {{origin.epoch, origin.sequence}, sealed.digest, origin.last};
    pending_bytes_ += sealed.wire.size();
    out_.push_back({std::move(origin), std::move(sealed.wire), sealed.digest});
}

void Packer::close(packet::OriginHeader origin, Bytes body) {
    auto sealed = packet::seal(origin, {}, std::move(body), key_, options_.compression);
    keep(std::move(origin), std::move(sealed));
}

/// The key comes before the epoch's record, which is sealed by it.
void Packer::open(
    const Bytes& key_body, std::optional<packet::EpochBody> epoch, std::optional<NewHistory> history
) {
    QIAO_ASSERT(rows_.empty() && !open_);
    auto origin = next_origin(Kind::Key);
    if (epoch) {
        origin.epoch = history ? history->epoch : tip_.point.epoch.next();
        origin.sequence = {1};
        // Not where a new history begins: whoever has no more than the key has not been told yet
        // that something may be missing in between.
        origin.first = origin.last = epoch->previous_position;
        last_commit_ = history ? history->start : epoch->previous_position;
    }
    auto framed = packet::frame_key_packet(origin, key_.suite(), key_body);
    keep(std::move(origin), std::move(framed));
    if (epoch) {
        auto opening = next_origin(Kind::Epoch);
        opening.first = opening.last = last_commit_;
        close(std::move(opening), epoch->encode());
    } else {
        // What an earlier process sent ahead will never be committed.
        void_ahead(0);
    }
}

void Packer::schema(const model::TableSchema& schema) {
    if (known_schemas_.emplace(schema.id(), schema.table).second) {
        new_schemas_.schemas.push_back(schema);
    }
}

/// Definitions go before the first packet that names them, inside a transaction too.
void Packer::emit_schemas() {
    if (new_schemas_.schemas.empty()) {
        return;
    }
    flush();
    close(next_origin(Kind::Schema), std::exchange(new_schemas_, {}).encode());
}

void Packer::begin(const model::TransactionHead& head) {
    QIAO_ASSERT(!open_);
    open_ = head;
    fragment_ = 0;
    open_changes_ = 0;
    skipping_ = model::compare(head.commit, last_commit_) <= 0;
}

packet::RowsBuilder& Packer::body() {
    if (block_) {
        if (block_rows_.empty()) {
            const auto number = static_cast<uint32_t>(travelling_[*block_].packets.size());
            block_rows_.begin({.xid = *block_}, number);
        }
        return block_rows_;
    }
    if (open_changes_ == 0) {
        rows_.begin(*open_, fragment_);
    }
    ++open_changes_;
    return rows_;
}

void Packer::flush_full() {
    if (rows_.size() >= options_.packet_bytes) {
        flush();
    }
    if (block_rows_.size() >= options_.packet_bytes) {
        flush_block();
    }
}

void Packer::refuse(const model::Change& change, size_t bytes) {
    refused_ = Error(
        ErrorCode::PacketTooLarge,
        fmt::format(
            "a row of {} bytes in {}, transaction {}",
            bytes,
            known_schemas_[change.schema].to_string(),
            open_ ? open_->xid : *block_
        )
    );
}

void Packer::change(const model::Change& change) {
    QIAO_ASSERT(open_ || block_);
    if ((open_ && skipping_) || refused_) {
        return;
    }
    const auto bytes = change.old_row.bytes().size() + change.new_row.bytes().size();
    if (bytes > kChangeBytesMost) {
        refuse(change, bytes);
        return;
    }
    emit_schemas();
    if (bytes > options_.packet_bytes) {
        pack_pieces(change);
        return;
    }
    body().change(change);
    flush_full();
}

void Packer::pack_pieces(const model::Change& change) {
    const auto whole = packet::RowsBuilder::encode_alone(change);
    const ByteView bytes(whole);
    for (size_t at = 0; at < bytes.size();) {
        const auto size = std::min(options_.packet_bytes, bytes.size() - at);
        const bool last = at + size == bytes.size();
        const auto counted = last ? std::optional(change.op) : std::nullopt;
        body().piece({last, bytes.subspan(at, size)}, counted);
        flush_full();
        at += size;
    }
}

void Packer::note_committed(const model::TransactionHead& head) {
    last_commit_ = head.commit;
    if (event_first_.us == 0) {
        event_first_ = head.commit_time;
    }
    event_last_ = head.commit_time;
}

void Packer::commit(const model::TransactionHead& head) {
    QIAO_ASSERT(open_.has_value());
    // A transaction without a change of ours moves nothing but the position.
    if (!skipping_ && !refused_ && (open_changes_ > 0 || fragment_ > 0)) {
        if (open_changes_ == 0) {
            rows_.begin(*open_, fragment_);
        }
        rows_.commit(head);
        note_committed(head);
    }
    open_.reset();
    flush_full();
}

void Packer::begin_block(uint64_t xid) {
    QIAO_ASSERT(!open_ && !block_);
    block_ = xid;
}

void Packer::end_block() {
    QIAO_ASSERT(block_.has_value());
    flush_block();
    block_.reset();
}

void Packer::flush_block() {
    if (block_rows_.empty()) {
        return;
    }
    if (begins_inside_) {
        // The end of a transaction of which a packet is out already: whoever goes on before this
        // block must find that transaction whole.
        flush();
    }
    auto& travelling = travelling_[*block_];
    auto origin = next_origin(Kind::Provisional);
    origin.counts = block_rows_.counts();
    origin.fragment_xid = *block_;
    origin.fragment = static_cast<uint32_t>(travelling.packets.size());
    travelling.packets.push_back(origin.sequence);
    close(std::move(origin), block_rows_.take());
}

void Packer::undo_ahead(uint64_t xid, uint32_t sub_xid) {
    const auto found = travelling_.find(xid);
    if (found == travelling_.end()) {
        return;
    }
    if (sub_xid == 0) {
        void_ahead(xid);
    } else {
        found->second.undone.push_back(sub_xid);
        most_undone_ = std::max(most_undone_, found->second.undone.size());
    }
}

void Packer::void_ahead(uint64_t xid) {
    // A commit that waits in the packet under way names packets that nobody may let go before it.
    flush();
    xid == 0 ? travelling_.clear() : void(travelling_.erase(xid));
    most_undone_ = travelling_.empty() ? 0 : most_undone_;
    close(next_origin(Kind::Abort), packet::AbortBody{xid}.encode());
}

void Packer::commit_ahead(const model::TransactionHead& head) {
    QIAO_ASSERT(!open_ && !block_);
    const auto found = travelling_.find(head.xid);
    if (found == travelling_.end() || refused_) {
        return;
    }
    if (model::compare(head.commit, last_commit_) <= 0) {
        void_ahead(head.xid);
        return;
    }
    packet::Ahead ahead{std::move(found->second.packets), ranges_of(found->second.undone)};
    travelling_.erase(found);
    rows_.begin(head, 0);
    rows_.ahead(ahead);
    rows_.commit(head);
    note_committed(head);
    flush_full();
}

void Packer::heartbeat(const capture::Heartbeat& heartbeat) {
    QIAO_ASSERT(!open_);
    flush();
    auto origin = next_origin(Kind::Heartbeat);
    if (model::compare(heartbeat.position, last_commit_) > 0) {
        origin.last = last_commit_ = heartbeat.position;
    }
    origin.event_first = origin.event_last = heartbeat.written_at;
    const packet::HeartbeatBody body{heartbeat.written_at, heartbeat.position, heartbeat.notices};
    close(std::move(origin), body.encode());
}

void Packer::discard_open() {
    if (open_) {
        rows_.discard_open();
        open_.reset();
        begins_inside_ = false;
    }
    block_rows_ = {};
    block_.reset();
    if (!travelling_.empty() && !is_planted(Plant::AheadKeptOverReconnect)) {
        void_ahead(0);
    }
}

void Packer::flush() {
    if (rows_.empty()) {
        return;
    }
    auto origin = next_origin(Kind::Rows);
    origin.last = last_commit_;
    origin.counts = rows_.counts();
    origin.event_first = event_first_;
    origin.event_last = event_last_;
    if (begins_inside_) {
        origin.transaction_flags |= packet::kBeginsInside;
    }
    begins_inside_ = open_ && open_changes_ > 0;
    if (begins_inside_) {
        origin.transaction_flags |= packet::kEndsInside;
        origin.fragment_xid = open_->xid;
        origin.fragment = fragment_++;
    }
    open_changes_ = 0;
    event_first_ = event_last_ = {};
    close(std::move(origin), rows_.take());
}

void Packer::flush_whole() {
    if (has_whole()) {
        flush();
    }
}

std::vector<OutPacket> Packer::take() {
    pending_bytes_ = 0;
    return std::exchange(out_, {});
}

}  // namespace qiao::engine
