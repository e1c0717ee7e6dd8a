#include "qiao/packet/bodies.h"

namespace qiao::packet {
namespace {

Status whole(const ByteReader& in, std::string_view what) {
    if (!in.ok() || !in.at_end()) {
        return Error(ErrorCode::PacketMalformed, std::string(what));
    }
    return {};
}

WallTime get_time(ByteReader& in) { return {static_cast<int64_t>(in.get<uint64_t>())}; }

}  // namespace

Bytes SchemaBody::encode() const {
    ByteWriter out;
    out.put(static_cast<uint32_t>(schemas.size()));
    for (const auto& schema : schemas) {
        out.put_sized(schema.encode());
    }
    return std::move(out).take();
}

Result<SchemaBody> SchemaBody::decode(ByteView bytes) {
    ByteReader in(bytes);
    SchemaBody body;
    for (auto left = in.get<uint32_t>(); left > 0 && in.ok(); --left) {
        QIAO_TRY(auto schema, model::TableSchema::decode(in.get_sized()));
        body.schemas.push_back(std::move(schema));
    }
    QIAO_CHECK(whole(in, "schema body"));
    return body;
}

Bytes HeartbeatBody::encode() const {
    ByteWriter out;
    out.put(static_cast<uint64_t>(written_at.us));
    position.encode(out);
    out.put(static_cast<uint16_t>(notices.size()));
    for (const auto& notice : notices) {
        out.put(static_cast<uint8_t>(notice.kind));
        out.put_sized(notice.table.schema);
        out.put_sized(notice.table.name);
        if (notice.kind == model::TableNotice::Kind::Proven) {
            notice.position.encode(out);
        }
    }
    return std::move(out).take();
}

Result<HeartbeatBody> HeartbeatBody::decode(ByteView bytes) {
    ByteReader in(bytes);
    HeartbeatBody body;
    body.written_at = get_time(in);
    body.position = model::SourcePosition::decode(in);
    using Kind = model::TableNotice::Kind;
    for (auto left = in.get<uint16_t>(); left > 0 && in.ok(); --left) {
        const auto kind = in.get<uint8_t>();
        if (kind < static_cast<uint8_t>(Kind::CatalogueChanged) ||
            kind > static_cast<uint8_t>(Kind::Proven)) {
            in.fail();
        }
        model::TableNotice notice{static_cast<Kind>(kind), {}, body.position};
        notice.table.schema = in.get_text();
        notice.table.name = in.get_text();
        if (notice.kind == Kind::Proven) {
            notice.position = model::SourcePosition::decode(in);
        }
        body.notices.push_back(std::move(notice));
    }
    QIAO_CHECK(whole(in, "heartbeat body"));
    return body;
}

Bytes AbortBody::encode() const {
    ByteWriter out;
    out.put(xid);
    return std::move(out).take();
}

Result<AbortBody> AbortBody::decode(ByteView bytes) {
    ByteReader in(bytes);
    AbortBody body;
    body.xid = in.get<uint64_t>();
    QIAO_CHECK(whole(in, "abort body"));
    return body;
}

Bytes EpochBody::encode() const {
    ByteWriter out;
    out.put_sized(reason);
    out.put_sized(source_identity);
    out.put(previous.epoch.value);
    out.put(previous.sequence.value);
    out.append(previous_digest.view());
    previous_position.encode(out);
    out.put(static_cast<uint8_t>(gap));
    return std::move(out).take();
}

Result<EpochBody> EpochBody::decode(ByteView bytes) {
    ByteReader in(bytes);
    EpochBody body;
    body.reason = in.get_text();
    body.source_identity = in.get_text();
    body.previous.epoch = {in.get<uint64_t>()};
    body.previous.sequence = {in.get<uint64_t>()};
    body.previous_digest = Digest::from(in.take(Digest::kSize));
    body.previous_position = model::SourcePosition::decode(in);
    const auto gap = in.get<uint8_t>();
    if (gap > static_cast<uint8_t>(Gap::Certain)) {
        in.fail();
    }
    body.gap = static_cast<Gap>(gap);
    QIAO_CHECK(whole(in, "epoch body"));
    return body;
}

namespace {

constexpr uint8_t kLastChunk = 1;
constexpr uint8_t kHasWithheld = 2;

}  // namespace

Bytes LoadChunkBody::encode() const {
    ByteWriter out;
    out.append(schema.view());
    out.put(part);
    out.put(parts);
    out.put(chunk);
    out.put(static_cast<uint8_t>((last ? kLastChunk : 0) | (withheld.empty() ? 0 : kHasWithheld)));
    out.put(format);
    out.put(row_count);
    joined_at.encode(out);
    if (!withheld.empty()) {
        out.put_sized(withheld);
    }
    out.append(rows);
    return std::move(out).take();
}

Result<LoadChunkBody> LoadChunkBody::decode(ByteView bytes) {
    ByteReader in(bytes);
    LoadChunkBody body;
    body.schema = model::SchemaId::from(in.take(model::SchemaId::kSize));
    body.part = in.get<uint32_t>();
    body.parts = in.get<uint32_t>();
    body.chunk = in.get<uint32_t>();
    const auto flags = in.get<uint8_t>();
    body.last = (flags & kLastChunk) != 0;
    body.format = in.get<uint8_t>();
    body.row_count = in.get<uint64_t>();
    body.joined_at = model::SourcePosition::decode(in);
    if ((flags & kHasWithheld) != 0) {
        body.withheld = in.get_sized();
    }
    body.rows = in.take(in.rest().size());
    QIAO_CHECK(whole(in, "load chunk body"));
    return body;
}

}  // namespace qiao::packet
