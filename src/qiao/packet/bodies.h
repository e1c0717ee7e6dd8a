#pragma once

#include "qiao/common/bytes.h"
#include "qiao/common/id.h"
#include "qiao/common/result.h"
#include "qiao/common/time.h"
#include "qiao/model/table.h"
#include "qiao/model/table_notice.h"
#include "qiao/packet/header.h"

#include <cstdint>
#include <string>
#include <vector>

namespace qiao::packet {

// Bodies of the small kinds. Layouts: docs/reference/formats/packet.md
// Every decode gives packet.malformed on foreign bytes that do not fit.

/// Table definitions that later packets of the stream name by id. Source: rules 6
struct SchemaBody {
    std::vector<model::TableSchema> schemas;
    bool operator==(const SchemaBody&) const = default;
    Bytes encode() const;
    static Result<SchemaBody> decode(ByteView bytes);
};

/// The source's own sign of life, carried to the end to prove that rows move, with what it has
/// noticed of its tables.
struct HeartbeatBody {
    WallTime written_at;
    model::SourcePosition position;
    std::vector<model::TableNotice> notices;
    bool operator==(const HeartbeatBody&) const = default;
    Bytes encode() const;
    static Result<HeartbeatBody> decode(ByteView bytes);
};

/// Whether changes may be missing between two epochs. Source: rules 1
enum class Gap : uint8_t { No = 0, Possible = 1, Certain = 2 };

/// Opens an epoch: a claim of unbroken history from here on. Source: rules 1
struct EpochBody {
    std::string reason;           ///< `first`, `state_lost`, `slot_recreated` …
    std::string source_identity;  ///< system and timeline, for people
    StreamPoint previous;         ///< the last packet of the epoch before; zero: none
    Digest previous_digest;
    model::SourcePosition previous_position;
    Gap gap = Gap::No;
    bool operator==(const EpochBody&) const = default;
    Bytes encode() const;
    static Result<EpochBody> decode(ByteView bytes);
};

/// Provisional packets that no commit will name any more. Source: rules 5, 14
struct AbortBody {
    uint64_t xid = 0;  ///< of this transaction; 0: of all that are open
    bool operator==(const AbortBody&) const = default;
    Bytes encode() const;
    static Result<AbortBody> decode(ByteView bytes);
};

/// Rows of a first load in the bulk format that both ends share, and tuples of rows that are not
/// there because of a withheld value. Source: rules 4, 13
struct LoadChunkBody {
    model::SchemaId schema;
    uint32_t part = 0, parts = 1;  ///< of the table
    uint32_t chunk = 0;            ///< within the part
    bool last = false;             ///< of the part
    uint8_t format = 0;            ///< drivers::LoadFormat
    uint64_t row_count = 0;
    model::SourcePosition joined_at;
    ByteView withheld, rows;  ///< views into the decoded bytes
    Bytes encode() const;
    static Result<LoadChunkBody> decode(ByteView bytes);
};

}  // namespace qiao::packet
