#include "qiao/engine/internal/carried_file.h"

#include <fmt/format.h>

namespace qiao::engine::internal {
namespace {

constexpr std::string_view kMagic = "QIAOLOAD";
constexpr uint8_t kMajor = 1;
constexpr size_t kHeadBytes = 10;
constexpr size_t kPacketMost = packet::kPacketBytesMax + packet::kHeaderBytesMax + 4096;
constexpr size_t kPieceBytes = packet::kPacketBytesDefault;

Bytes head_of(CarriedRole role) {
    ByteWriter out;
    out.append(as_bytes(kMagic));
    out.put(kMajor);
    out.put(static_cast<uint8_t>(role));
    return std::move(out).take();
}

}  // namespace

Task<Status> CarriedFileWriter::open(std::string folder, std::string name, CarriedRole role) {
    folder_ = std::move(folder);
    told_.name = std::move(name);
    const auto path = folder_ + "/" + told_.name + ".new";
    QIAO_CO_TRY(file_, co_await storage_.open(path, OpenMode::Create));
    co_return co_await append(head_of(role));
}

packet::OriginHeader CarriedFileWriter::next_origin(packet::Kind kind) const {
    packet::OriginHeader origin;
    origin.kind = kind;
    origin.stream = origin_.stream;
    origin.source = origin_.source;
    origin.epoch = {1};
    origin.sequence = tip_.point.sequence.next();
    origin.previous_sequence = tip_.point.sequence;
    origin.previous_digest = tip_.digest;
    origin.first = origin.last = origin_.joined_at;
    origin.captured = clock_.wall_now();
    origin.trace = origin_.load;
    origin.path = {origin_.node};
    origin.generation = origin_.generation;
    return origin;
}

Task<Status> CarriedFileWriter::append(Bytes bytes) {
    QIAO_CO_CHECK(co_await file_->write_at(told_.bytes, bytes));
    hasher_->update(bytes);
    told_.bytes += bytes.size();
    co_return Status{};
}

Task<Status> CarriedFileWriter::write(packet::OriginHeader origin, packet::SealedPacket sealed) {
    tip_ = {{origin.epoch, origin.sequence}, sealed.digest, origin.last};
    ByteWriter record;
    record.put_sized(ByteView(sealed.wire));
    auto bytes = std::move(record).take();
    co_return co_await append(std::move(bytes));
}

Task<Status> CarriedFileWriter::add_key(Bytes body) {
    auto origin = next_origin(packet::Kind::Key);
    auto framed = packet::frame_key_packet(origin, key_.suite(), body);
    co_return co_await write(std::move(origin), std::move(framed));
}

Task<Status> CarriedFileWriter::add(packet::Kind kind, Bytes body) {
    if (body.size() > packet::kPacketBytesMax) {
        co_return Error(
            ErrorCode::PacketTooLarge, fmt::format("{} bytes in {}", body.size(), told_.name)
        );
    }
    auto origin = next_origin(kind);
    auto sealed = packet::seal(origin, {}, std::move(body), key_, packet::Compression::None);
    co_return co_await write(std::move(origin), std::move(sealed));
}

Task<Status> CarriedFileWriter::add_pieces(Bytes content) {
    ByteView rest(content);
    do {
        const auto piece = rest.first(std::min(rest.size(), kPieceBytes));
        rest = rest.subspan(piece.size());
        ByteWriter body;
        body.put(static_cast<uint8_t>(rest.empty() ? 1 : 0));
        body.append(piece);
        auto bytes = std::move(body).take();
        QIAO_CO_CHECK(co_await add(packet::Kind::Carried, std::move(bytes)));
    } while (!rest.empty());
    co_return Status{};
}

Task<Result<CarriedFile>> CarriedFileWriter::finish() {
    QIAO_CO_CHECK(co_await file_->sync());
    file_.reset();
    const auto path = folder_ + "/" + told_.name;
    QIAO_CO_CHECK(co_await storage_.rename(path + ".new", path));
    told_.digest = hasher_->finish();
    co_return told_;
}

Error CarriedFileReader::damaged(std::string_view why) const {
    return {ErrorCode::EngineCarriedDamaged, fmt::format("{}: {}", name_, why)};
}

Error CarriedFileReader::damaged(const Error& why) const {
    return why.is(ErrorCode::PacketTooNew) ? why.within(name_) : damaged(why.to_string());
}

Task<Result<CarriedFileReader>> CarriedFileReader::open(
    Storage& storage,
    std::string folder,
    std::string name,
    CarriedRole role,
    const crypto::Suite* suite
) {
    CarriedFileReader reader;
    reader.name_ = std::move(name);
    reader.hasher_ = (suite == nullptr ? crypto::default_suite() : *suite).make_hasher();
    const auto path = folder + "/" + reader.name_;
    QIAO_CO_TRY(reader.file_, co_await storage.open(path, OpenMode::Read));
    QIAO_CO_TRY(reader.size_, reader.file_->size());
    const auto head = head_of(role);
    QIAO_CO_TRY(const auto found, co_await reader.take(kHeadBytes));
    if (!std::ranges::equal(ByteView(found).first(kMagic.size()), as_bytes(kMagic))) {
        co_return reader.damaged("not a file of a carried load");
    }
    if (const auto major = static_cast<uint8_t>(found[kMagic.size()]); major > kMajor) {
        co_return Error(
            ErrorCode::PacketTooNew, fmt::format("{}: carried load {}", reader.name_, major)
        );
    }
    if (found != head) {
        co_return reader.damaged("another file of a carried load");
    }
    co_return reader;
}

Task<Result<Bytes>> CarriedFileReader::take(uint64_t count) {
    if (count > size_ - offset_) {
        co_return damaged("it is cut");
    }
    Bytes bytes(count);
    QIAO_CO_TRY(const auto got, co_await file_->read_at(offset_, bytes));
    if (got != count) {
        co_return damaged("it is cut");
    }
    offset_ += count;
    hasher_->update(bytes);
    co_return bytes;
}

Task<Result<packet::PacketView>> CarriedFileReader::next() {
    QIAO_CO_TRY(const auto length, co_await take(sizeof(uint32_t)));
    ByteReader in(length);
    const auto count = in.get<uint32_t>();
    if (count > kPacketMost) {
        co_return damaged("a packet of more than can be");
    }
    QIAO_CO_TRY(wire_, co_await take(count));
    auto view = packet::PacketView::parse(wire_);
    if (!view) {
        co_return damaged(view.error());
    }
    if (!stream_) {
        stream_ = view->origin.stream;
    }
    const auto verdict = admit(tip_, *stream_, *view);
    if (!verdict) {
        co_return damaged(verdict.error());
    }
    if (*verdict != Verdict::Next) {
        co_return damaged("a packet stands there twice");
    }
    QIAO_CO_TRY(tip_, tip_of(*view));
    co_return *std::move(view);
}

Task<Result<Bytes>> CarriedFileReader::read_pieces(const packet::KeyRing& ring, size_t most) {
    Bytes content;
    for (bool last = false; !last;) {
        QIAO_CO_TRY(const auto view, co_await next());
        auto body = ring.open(view);
        if (!body) {
            co_return damaged(body.error());
        }
        if (view.origin.kind != packet::Kind::Carried || body->empty() ||
            content.size() + body->size() > most) {
            co_return damaged("a packet that does not belong here");
        }
        last = body->front() != std::byte{0};
        content.insert(content.end(), body->begin() + 1, body->end());
    }
    if (!at_end()) {
        co_return damaged("more than its last packet");
    }
    co_return content;
}

}  // namespace qiao::engine::internal
