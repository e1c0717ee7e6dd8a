#pragma once

#include "qiao/capture/postgres/lsn.h"
#include "qiao/common/result.h"
#include "qiao/common/time.h"
#include "qiao/model/tuple.h"

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

namespace qiao::capture::postgres {

// Messages of pgoutput as views into the bytes decoded. Names follow PostgreSQL's "Logical
// Replication Message Formats". `xid` of a message inside a streamed block is the sub-transaction
// that an abort drops; 0 outside.

struct BeginMessage {
    Lsn commit = 0;  ///< start of the commit record
    WallTime commit_time;
    uint32_t xid = 0;
};

struct CommitMessage {
    Lsn commit = 0;
    Lsn end = 0;
    WallTime commit_time;
};

struct OriginMessage {
    Lsn lsn = 0;
    std::string_view name;
};

struct RelationColumn {
    bool key = false;
    std::string_view name;
    uint32_t type = 0;
    int32_t modifier = -1;
};

struct RelationMessage {
    uint32_t xid = 0;
    uint32_t id = 0;
    std::string_view schema;  ///< `pg_catalog` is spelled out, though pgoutput leaves it empty
    std::string_view name;
    char replica_identity = 'd';  ///< d default, n nothing, f full, i index
    std::vector<RelationColumn> columns;
};

struct TypeMessage {
    uint32_t xid = 0;
    uint32_t id = 0;
    std::string_view schema;
    std::string_view name;
};

struct InsertMessage {
    uint32_t xid = 0;
    uint32_t relation = 0;
    model::Tuple new_row;
};

/// What stands before a new row, or is the whole of a delete.
enum class OldRow : uint8_t { None, Key, Full };

struct UpdateMessage {
    uint32_t xid = 0;
    uint32_t relation = 0;
    OldRow old_kind = OldRow::None;
    model::Tuple old_row;
    model::Tuple new_row;
};

struct DeleteMessage {
    uint32_t xid = 0;
    uint32_t relation = 0;
    OldRow old_kind = OldRow::Key;
    model::Tuple old_row;
};

struct TruncateMessage {
    uint32_t xid = 0;
    bool cascade = false;
    bool restart_identity = false;
    std::vector<uint32_t> relations;
};

/// pg_logical_emit_message().
struct LogicalMessage {
    uint32_t xid = 0;
    bool transactional = false;
    Lsn lsn = 0;
    std::string_view prefix;
    ByteView content;
};

struct StreamStartMessage {
    uint32_t xid = 0;
    bool first_segment = false;
};

struct StreamStopMessage {};

struct StreamCommitMessage {
    uint32_t xid = 0;
    Lsn commit = 0;
    Lsn end = 0;
    WallTime commit_time;
};

struct StreamAbortMessage {
    uint32_t xid = 0;
    uint32_t sub_xid = 0;
    std::optional<Lsn> abort;  ///< with `streaming 'parallel'` only, as is the time
    WallTime abort_time;
};

using Message = std::variant<
    BeginMessage,
    CommitMessage,
    OriginMessage,
    RelationMessage,
    TypeMessage,
    InsertMessage,
    UpdateMessage,
    DeleteMessage,
    TruncateMessage,
    LogicalMessage,
    StreamStartMessage,
    StreamStopMessage,
    StreamCommitMessage,
    StreamAbortMessage>;

/// Decodes one session's messages in order. Pure: no I/O. Remembers only whether it is inside a
/// streamed block, because messages have another form there. Never reads past the bytes given.
class Decoder {
public:
    enum class Streaming : uint8_t { Off, On, Parallel };

    explicit Decoder(Streaming streaming = Streaming::Off) : streaming_(streaming) {}

    /// `bytes`: one message without the replication header. The views live as long as they do.
    /// Errors: capture.protocol for an unknown or malformed message, bytes left over, streamed
    /// messages that were not asked for, and prepared transactions (never asked for).
    Result<Message> decode(ByteView bytes);

private:
    Streaming streaming_;
    bool in_block_ = false;
};

/// Microseconds since 2000-01-01, as PostgreSQL counts, to ours.
WallTime from_postgres_time(uint64_t us);
uint64_t to_postgres_time(WallTime time);

}  // namespace qiao::capture::postgres
