#pragma once

#include "qiao/common/bytes.h"
#include "qiao/common/result.h"

#include <compare>
#include <cstdint>
#include <string>

namespace qiao::model {

/// What the order bytes of a position mean; only for printing. Numbers never change.
enum class PositionKind : uint8_t {
    None = 0,       ///< before everything
    Lsn = 1,        ///< history: u64 system id, u32 timeline; order: u64; all big-endian
    Watermark = 2,  ///< history: table; order: cursor of a timestamp source
};

/// PostgreSQL's records begin at multiples of eight: so many positions right before one are
/// nobody's, and repairs go there.
constexpr int kFreeBeforeRecord = 7;

/// A place in the history of a source. Two places are ordered only within one history (system and
/// timeline): there, byte order of `order` is the order of commits. Source: rules 1
struct SourcePosition {
    PositionKind kind = PositionKind::None;
    Bytes history;
    Bytes order;
    /// By what the source can prove that it still has the history up to here; not part of the place
    /// itself. Kind Lsn only: u64 commit and u32 check of a transaction, big-endian.
    Bytes anchor = {};

    bool operator==(const SourcePosition& other) const {
        return same_history(other) && order == other.order;
    }

    bool empty() const { return kind == PositionKind::None; }

    bool same_history(const SourcePosition& other) const {
        return kind == other.kind && history == other.history;
    }

    /// u8 kind, u16 length and history, u16 length and order with anchor.
    void encode(ByteWriter& out) const;
    Bytes encode() const;
    /// Turns `in` bad on malformed input.
    static SourcePosition decode(ByteReader& in);
    /// Errors: packet.malformed.
    static Result<SourcePosition> decode(ByteView bytes);

    /// `0/16B3748`, for people.
    std::string to_string() const;

    /// The place right before this one, of kind Lsn: what lies before this one lies up to there.
    SourcePosition predecessor() const;

    static SourcePosition lsn(uint64_t system_id, uint32_t timeline, uint64_t lsn);
};

/// Unordered when the histories differ; a position of kind None is before every other.
std::partial_ordering compare(const SourcePosition& a, const SourcePosition& b);

}  // namespace qiao::model
