#include "qiao/common/assert.h"
#include "qiao/common/crc32c.h"
#include "qiao/packet/bodies.h"
#include "qiao/packet/rows.h"
#include "qiao/packet/seal.h"

#include <algorithm>
#include <cstring>
#include <random>

/// Packets whose lengths and checksum are right whatever else is wrong, so that the fuzzer gets
/// behind them: the mutator takes a packet apart, changes a part, and puts it together again.
namespace {

using namespace qiao;
using namespace qiao::packet;

constexpr size_t kOriginAt = 8;
constexpr size_t kSealedBytes = 70;
constexpr size_t kHopBytes = 90;
constexpr size_t kPartBytesMost = 4096;

struct Parts {
    Bytes origin, hop, body;
};

Bytes joined(Parts parts) {
    ByteWriter wire;
    wire.append(as_bytes(std::string_view("QIAO\x01\x01", 6)));
    wire.put(static_cast<uint16_t>(kOriginAt + parts.origin.size()));
    wire.append(parts.origin);
    const auto hop_at = wire.size();
    wire.append(parts.hop);
    const auto length = static_cast<uint32_t>(parts.body.size());
    wire.patch(hop_at + kSealedBytes - 4, length);
    wire.patch(hop_at + kHopBytes - 4, crc32c(wire.view().first(hop_at + kHopBytes - 4)));
    wire.append(parts.body);
    wire.append(Bytes(crypto::kTagBytes));
    return std::move(wire).take();
}

/// A whole packet of random fields; its body is one of its kind.
Parts fresh(std::mt19937& random) {
    OriginHeader origin;
    origin.kind = static_cast<Kind>(1 + random() % 11);
    origin.optional_features = random() % 4;
    origin.required_features = random() % 8 == 0 ? uint64_t{1} << random() % 64 : 0;
    origin.source = std::string(random() % 20, 's');
    origin.sequence = {random()};
    origin.first = origin.last = model::SourcePosition::lsn(7, 1, random());
    origin.path.assign(random() % 4, "node");
    origin.release = std::string(random() % 8, '1');
    HopHeader hop;
    hop.suite = static_cast<crypto::SuiteId>(random() % 4);
    RowsBuilder rows;
    const model::TransactionHead head{random(), origin.first, origin.last, {}};
    rows.begin(head, random() % 3);
    const auto image = std::move(model::TupleBuilder(2).text("1").null()).take();
    for (auto left = random() % 4; left > 0; --left) {
        model::Change change;
        change.op = static_cast<model::Op>(1 + random() % 2);
        change.new_row = *model::Tuple::parse(image);
        rows.change(change);
    }
    rows.commit(head);
    const auto encoded = encode_header(origin, hop);
    const ByteView bytes(encoded.bytes);
    return {
        to_bytes(bytes.subspan(kOriginAt, encoded.origin_size - kOriginAt)),
        to_bytes(bytes.subspan(encoded.origin_size)),
        rows.take()
    };
}

/// What the bytes are made of, as far as their lengths tell. None: they are no packet.
std::optional<Parts> taken_apart(ByteView wire) {
    if (wire.size() < kOriginAt) {
        return std::nullopt;
    }
    uint16_t origin_end = 0;
    std::memcpy(&origin_end, wire.data() + 6, sizeof(origin_end));
    if (origin_end < kOriginAt || origin_end + kHopBytes + crypto::kTagBytes > wire.size()) {
        return std::nullopt;
    }
    const auto behind = wire.subspan(origin_end + kHopBytes);
    return Parts{
        to_bytes(wire.subspan(kOriginAt, origin_end - kOriginAt)),
        to_bytes(wire.subspan(origin_end, kHopBytes)),
        to_bytes(behind.first(behind.size() - crypto::kTagBytes))
    };
}

void read_body(const PacketView& view) {
    if (view.origin.kind == Kind::Rows || view.origin.kind == Kind::Provisional) {
        RowsReader reader(view.body);
        for (auto record = reader.next(); record && *record; record = reader.next()) {
        }
    } else if (view.origin.kind == Kind::Key) {
        (void)KeyRing({}).add(view);
    } else if (view.origin.kind == Kind::Schema) {
        (void)SchemaBody::decode(view.body);
    } else if (view.origin.kind == Kind::Heartbeat) {
        (void)HeartbeatBody::decode(view.body);
    } else if (view.origin.kind == Kind::Epoch) {
        (void)EpochBody::decode(view.body);
    } else if (view.origin.kind == Kind::Abort) {
        (void)AbortBody::decode(view.body);
    } else if (view.origin.kind == Kind::LoadChunk) {
        (void)LoadChunkBody::decode(view.body);
    }
}

}  // namespace

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t size_most);

/// libFuzzer's name. One part is changed as bytes; outer lengths and checksum are right again.
extern "C" size_t LLVMFuzzerCustomMutator(
    uint8_t* data, size_t size, size_t size_most, unsigned int seed
) {
    std::mt19937 random(seed);
    auto parts = taken_apart(std::as_bytes(std::span(data, size)));
    if (!parts || random() % 16 == 0) {
        parts = fresh(random);
    }
    auto& part = random() % 3 == 0 ? parts->hop : random() % 2 == 0 ? parts->origin : parts->body;
    const auto before = part.size();
    part.resize(std::max(kPartBytesMost, before));
    const auto now = LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(part.data()), before, part.size());
    part.resize(&part == &parts->hop ? kHopBytes : now);
    const auto wire = joined(*std::move(parts));
    if (wire.size() > size_most) {
        return size;
    }
    std::memcpy(data, wire.data(), wire.size());
    return wire.size();
}

/// Whatever is taken for a packet says the same again when it is written anew.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto view = PacketView::parse(std::as_bytes(std::span(data, size)));
    if (!view) {
        return 0;
    }
    (void)view->digest();
    read_body(*view);
    auto again = encode_header(view->origin, view->hop).bytes;
    again.insert(again.end(), view->body.begin(), view->body.end());
    again.insert(again.end(), view->tag.begin(), view->tag.end());
    const auto second = PacketView::parse(again);
    QIAO_ASSERT(second.has_value());
    QIAO_ASSERT(second->origin == view->origin && second->hop == view->hop);
    return 0;
}
