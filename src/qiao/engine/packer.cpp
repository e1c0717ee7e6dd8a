#include "qiao/engine/packer.h"

#include "qiao/common/assert.h"

#include <fmt/format.h>

namespace qiao::engine {

using packet::Kind;

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
void Packer::open(const Bytes& key_body, std::optional<packet::EpochBody> epoch) {
    QIAO_ASSERT(rows_.empty() && !open_);
    auto origin = next_origin(Kind::Key);
    if (epoch) {
        origin.epoch = tip_.point.epoch.next();
        origin.sequence = {1};
        origin.first = origin.last = epoch->previous_position;
        last_commit_ = epoch->previous_position;
    }
    auto framed = packet::frame_key_packet(origin, key_.suite(), key_body);
    keep(std::move(origin), std::move(framed));
    if (epoch) {
        close(next_origin(Kind::Epoch), epoch->encode());
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

void Packer::change(const model::Change& change) {
    QIAO_ASSERT(open_.has_value());
    if (skipping_ || refused_) {
        return;
    }
    const auto bytes = change.old_row.bytes().size() + change.new_row.bytes().size();
    if (bytes > kChangeBytesMost) {
        refused_ = Error(
            ErrorCode::PacketTooLarge,
            fmt::format(
                "a row of {} bytes in {}, transaction at {}",
                bytes,
                known_schemas_[change.schema].to_string(),
                open_->commit.to_string()
            )
        );
        return;
    }
    emit_schemas();
    if (open_changes_ == 0) {
        rows_.begin(*open_, fragment_);
    }
    ++open_changes_;
    rows_.change(change);
    if (rows_.size() >= options_.packet_bytes) {
        flush();
    }
}

void Packer::commit(const model::TransactionHead& head) {
    QIAO_ASSERT(open_.has_value());
    // A transaction without a change of ours moves nothing but the position.
    if (!skipping_ && !refused_ && (open_changes_ > 0 || fragment_ > 0)) {
        if (open_changes_ == 0) {
            rows_.begin(*open_, fragment_);
        }
        rows_.commit(head);
        last_commit_ = head.commit;
        if (event_first_.us == 0) {
            event_first_ = head.commit_time;
        }
        event_last_ = head.commit_time;
    }
    open_.reset();
    if (rows_.size() >= options_.packet_bytes) {
        flush();
    }
}

void Packer::heartbeat(const capture::Heartbeat& heartbeat) {
    QIAO_ASSERT(!open_);
    flush();
    auto origin = next_origin(Kind::Heartbeat);
    if (model::compare(heartbeat.position, last_commit_) > 0) {
        origin.last = last_commit_ = heartbeat.position;
    }
    origin.event_first = origin.event_last = heartbeat.written_at;
    const packet::HeartbeatBody body{heartbeat.written_at, heartbeat.position};
    close(std::move(origin), body.encode());
}

void Packer::discard_open() {
    if (!open_) {
        return;
    }
    rows_.discard_open();
    open_.reset();
    begins_inside_ = false;
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
