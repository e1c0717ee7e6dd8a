#include "qiao/capture/postgres/decoder.h"

#include "qiao/capture/postgres/internal/big_endian.h"

#include <fmt/format.h>

namespace qiao::capture::postgres {
namespace {

using internal::big_endian;
using internal::c_string;

/// 2000-01-01 in microseconds since 1970.
constexpr uint64_t kPostgresEpochUs = 946'684'800'000'000;

WallTime time(ByteReader& in) { return from_postgres_time(big_endian<uint64_t>(in)); }

char letter(ByteReader& in) { return static_cast<char>(in.get<uint8_t>()); }

std::string_view schema_name(ByteReader& in) {
    const auto name = c_string(in);
    return name.empty() && in.ok() ? "pg_catalog" : name;
}

/// A tuple turns the reader bad instead of giving its own error: the message is what is malformed.
model::Tuple tuple(ByteReader& in) {
    auto parsed = model::Tuple::parse_front(in);
    if (!parsed) {
        in.fail();
        return {};
    }
    return *parsed;
}

Message begin(ByteReader& in) {
    BeginMessage message;
    message.commit = big_endian<uint64_t>(in);
    message.commit_time = time(in);
    message.xid = big_endian<uint32_t>(in);
    return message;
}

Message commit(ByteReader& in) {
    CommitMessage message;
    in.get<uint8_t>();  // flags, unused by every version
    message.commit = big_endian<uint64_t>(in);
    message.end = big_endian<uint64_t>(in);
    message.commit_time = time(in);
    return message;
}

Message origin(ByteReader& in) {
    const auto lsn = big_endian<uint64_t>(in);
    return OriginMessage{lsn, c_string(in)};
}

Message relation(ByteReader& in, uint32_t xid) {
    RelationMessage message;
    message.xid = xid;
    message.id = big_endian<uint32_t>(in);
    message.schema = schema_name(in);
    message.name = c_string(in);
    message.replica_identity = letter(in);
    const auto count = big_endian<uint16_t>(in);
    for (uint16_t i = 0; i < count && in.ok(); ++i) {
        RelationColumn column;
        column.key = (in.get<uint8_t>() & 1U) != 0;
        column.name = c_string(in);
        column.type = big_endian<uint32_t>(in);
        column.modifier = static_cast<int32_t>(big_endian<uint32_t>(in));
        message.columns.push_back(column);
    }
    return message;
}

Message type(ByteReader& in, uint32_t xid) {
    TypeMessage message;
    message.xid = xid;
    message.id = big_endian<uint32_t>(in);
    message.schema = schema_name(in);
    message.name = c_string(in);
    return message;
}

Message insert(ByteReader& in, uint32_t xid) {
    InsertMessage message;
    message.xid = xid;
    message.relation = big_endian<uint32_t>(in);
    if (letter(in) != 'N') {
        in.fail();
    }
    message.new_row = tuple(in);
    return message;
}

OldRow old_kind(char mark) {
    return mark == 'K' ? OldRow::Key : mark == 'O' ? OldRow::Full : OldRow::None;
}

Message update(ByteReader& in, uint32_t xid) {
    UpdateMessage message;
    message.xid = xid;
    message.relation = big_endian<uint32_t>(in);
    auto mark = letter(in);
    message.old_kind = old_kind(mark);
    if (message.old_kind != OldRow::None) {
        message.old_row = tuple(in);
        mark = letter(in);
    }
    if (mark != 'N') {
        in.fail();
    }
    message.new_row = tuple(in);
    return message;
}

Message erase(ByteReader& in, uint32_t xid) {
    DeleteMessage message;
    message.xid = xid;
    message.relation = big_endian<uint32_t>(in);
    message.old_kind = old_kind(letter(in));
    if (message.old_kind == OldRow::None) {
        in.fail();
    }
    message.old_row = tuple(in);
    return message;
}

Message truncate(ByteReader& in, uint32_t xid) {
    TruncateMessage message;
    message.xid = xid;
    const auto count = big_endian<uint32_t>(in);
    const auto options = in.get<uint8_t>();
    message.cascade = (options & 1U) != 0;
    message.restart_identity = (options & 2U) != 0;
    if (size_t{count} * sizeof(uint32_t) != in.rest().size()) {
        in.fail();
    }
    for (uint32_t i = 0; i < count && in.ok(); ++i) {
        message.relations.push_back(big_endian<uint32_t>(in));
    }
    return message;
}

Message logical(ByteReader& in, uint32_t xid) {
    LogicalMessage message;
    message.xid = xid;
    message.transactional = (in.get<uint8_t>() & 1U) != 0;
    message.lsn = big_endian<uint64_t>(in);
    message.prefix = c_string(in);
    message.content = in.take(big_endian<uint32_t>(in));
    return message;
}

Message stream_start(ByteReader& in) {
    const auto xid = big_endian<uint32_t>(in);
    return StreamStartMessage{xid, in.get<uint8_t>() == 1};
}

Message stream_commit(ByteReader& in) {
    StreamCommitMessage message;
    message.xid = big_endian<uint32_t>(in);
    in.get<uint8_t>();  // flags, unused by every version
    message.commit = big_endian<uint64_t>(in);
    message.end = big_endian<uint64_t>(in);
    message.commit_time = time(in);
    return message;
}

Message stream_abort(ByteReader& in, bool parallel) {
    StreamAbortMessage message;
    message.xid = big_endian<uint32_t>(in);
    message.sub_xid = big_endian<uint32_t>(in);
    if (parallel) {
        message.abort = big_endian<uint64_t>(in);
        message.abort_time = time(in);
    }
    return message;
}

/// Messages that are the same inside and outside a streamed block but for the xid in front.
std::optional<Message> content(char tag, ByteReader& in, bool in_block) {
    const auto xid = [&] { return in_block ? big_endian<uint32_t>(in) : 0U; };
    switch (tag) {
        case 'R':
            return relation(in, xid());
        case 'Y':
            return type(in, xid());
        case 'I':
            return insert(in, xid());
        case 'U':
            return update(in, xid());
        case 'D':
            return erase(in, xid());
        case 'T':
            return truncate(in, xid());
        case 'M':
            return logical(in, xid());
        case 'O':
            return origin(in);
        default:
            return std::nullopt;
    }
}

std::optional<Message> frame(char tag, ByteReader& in, bool in_block, Decoder::Streaming mode) {
    if (!in_block && tag == 'B') {
        return begin(in);
    }
    if (!in_block && tag == 'C') {
        return commit(in);
    }
    if (mode == Decoder::Streaming::Off) {
        return std::nullopt;
    }
    switch (tag) {
        case 'S':
            return in_block ? std::nullopt : std::optional(stream_start(in));
        case 'E':
            return in_block ? std::optional<Message>(StreamStopMessage{}) : std::nullopt;
        case 'c':
            return in_block ? std::nullopt : std::optional(stream_commit(in));
        case 'A':
            return in_block ? std::nullopt
                            : std::optional(stream_abort(in, mode == Decoder::Streaming::Parallel));
        default:
            return std::nullopt;
    }
}

Error malformed(char tag, size_t size) {
    const bool plain = tag > ' ' && tag <= '~';
    return {
        ErrorCode::CaptureProtocol,
        fmt::format("pgoutput message {} of {} bytes", plain ? tag : '?', size)
    };
}

}  // namespace

WallTime from_postgres_time(uint64_t us) { return {static_cast<int64_t>(us + kPostgresEpochUs)}; }

uint64_t to_postgres_time(WallTime time) {
    return static_cast<uint64_t>(time.us) - kPostgresEpochUs;
}

Result<Message> Decoder::decode(ByteView bytes) {
    ByteReader in(bytes);
    const auto tag = letter(in);
    auto message = content(tag, in, in_block_);
    if (!message) {
        message = frame(tag, in, in_block_, streaming_);
    }
    if (!message || !in.ok() || !in.at_end()) {
        return malformed(tag, bytes.size());
    }
    if (tag == 'S' || tag == 'E') {
        in_block_ = tag == 'S';
    }
    return *std::move(message);
}

}  // namespace qiao::capture::postgres
