#include "qiao/engine/laid_aside.h"

#include "qiao/engine/fragment_reader.h"
#include "qiao/packet/rows.h"
#include "qiao/packet/seal.h"

namespace qiao::engine {
namespace {

constexpr size_t kPieceBytes = size_t{4} << 20U;

/// Bodies of Rows packets that hold one transaction of one change.
std::vector<Bytes> bodies_of(const model::TransactionHead& head, const model::Change& change) {
    std::vector<Bytes> bodies;
    const auto whole = packet::RowsBuilder::encode_alone(change);
    const ByteView bytes(whole);
    packet::RowsBuilder rows;
    if (bytes.size() <= kPieceBytes) {
        rows.begin(head, 0);
        rows.change(change);
        rows.commit(head);
        bodies.push_back(rows.take());
        return bodies;
    }
    for (size_t at = 0; at < bytes.size(); at += kPieceBytes) {
        const auto piece = bytes.subspan(at, std::min(kPieceBytes, bytes.size() - at));
        const bool last = at + piece.size() == bytes.size();
        rows.begin(head, static_cast<uint32_t>(bodies.size()));
        rows.piece({last, piece}, last ? std::optional(change.op) : std::nullopt);
        if (last) {
            rows.commit(head);
        }
        bodies.push_back(rows.take());
    }
    return bodies;
}

packet::OriginHeader header(packet::Kind kind, StreamId stream, Clock& clock) {
    packet::OriginHeader origin;
    origin.kind = kind;
    origin.stream = stream;
    origin.captured = clock.wall_now();
    return origin;
}

}  // namespace

Result<LaidAsideSeal> LaidAsideSeal::make(
    const crypto::Suite& suite,
    const crypto::PublicKey& receiver,
    StreamId stream,
    Clock& clock,
    Rng& rng
) {
    LaidAsideSeal seal(crypto::SealingKey::make(suite, rng), stream, clock);
    // Not ours to end: the caller's reference lives longer than the call.
    const std::shared_ptr<const crypto::PublicKey> borrowed(&receiver, [](const auto*) {});
    QIAO_TRY(const auto wrapped, packet::wrap_for(seal.key_, {borrowed}));
    const auto origin = header(packet::Kind::Key, stream, clock);
    seal.key_packet_ = packet::frame_key_packet(origin, suite, wrapped).wire;
    return seal;
}

Result<Bytes> LaidAsideSeal::seal(const model::TransactionHead& head, const model::Change& change) {
    ByteWriter out;
    out.put_sized(ByteView(key_packet_));
    uint32_t fragment = 0;
    ++sealed_;
    for (auto& body : bodies_of(head, change)) {
        auto origin = header(packet::Kind::Rows, stream_, *clock_);
        origin.sequence = {sealed_};
        origin.first = origin.last = head.commit;
        origin.fragment_xid = head.xid;
        origin.fragment = fragment++;
        const auto packet =
            packet::seal(origin, {}, std::move(body), key_, packet::Compression::Zstd);
        out.put_sized(ByteView(packet.wire));
    }
    return std::move(out).take();
}

apply::SealChange sealing(LaidAsideSeal seal) {
    const auto shared = std::make_shared<LaidAsideSeal>(std::move(seal));
    return [shared](const model::TransactionHead& head, const model::Change& change) {
        return shared->seal(head, change);
    };
}

apply::OpenChange opening(StreamId stream, packet::ReceiverKeys receivers) {
    const auto shared = std::make_shared<LaidAsideOpener>(stream, std::move(receivers));
    return [shared](ByteView sealed) { return shared->open(sealed); };
}

Status LaidAsideOpener::add_key(const packet::PacketView& view, ByteView wire) {
    auto bytes = to_bytes(wire);
    if (!known_.contains(bytes)) {
        QIAO_CHECK(ring_.add(view));
        known_.insert(std::move(bytes));
    }
    return {};
}

Result<apply::LaidAside> LaidAsideOpener::open(ByteView sealed) {
    FragmentReader reader;
    apply::LaidAside opened;
    bool found = false;
    std::optional<std::pair<Sequence, uint32_t>> before;
    ByteReader in(sealed);
    while (!in.at_end()) {
        const auto wire = in.get_sized();
        if (!in.ok()) {
            break;
        }
        QIAO_TRY(const auto view, packet::PacketView::parse(wire));
        if (view.origin.stream != stream_) {
            return Error(ErrorCode::PacketMalformed, "a change of another stream");
        }
        if (view.origin.kind == packet::Kind::Key) {
            QIAO_CHECK(add_key(view, wire));
            continue;
        }
        const std::pair place(view.origin.sequence, view.origin.fragment);
        const bool next =
            before ? place == std::pair(before->first, before->second + 1) : place.second == 0;
        if (view.origin.kind != packet::Kind::Rows || !next) {
            return Error(ErrorCode::PacketMalformed, "a change that was laid aside");
        }
        before = place;
        QIAO_TRY(auto body, ring_.open(view));
        reader.open(std::move(body));
        while (true) {
            QIAO_TRY(auto record, reader.next());
            if (!record) {
                break;
            }
            if (auto* change = std::get_if<model::Change>(&*record)) {
                opened.change = std::move(*change);
                opened.keep = reader.keep();
            } else if (auto* commit = std::get_if<FragmentReader::Commit>(&*record)) {
                opened.head = std::move(commit->head);
                found = opened.keep != nullptr;
            }
        }
    }
    if (!in.ok() || !found) {
        return Error(ErrorCode::PacketMalformed, "a change that was laid aside");
    }
    return opened;
}

}  // namespace qiao::engine
