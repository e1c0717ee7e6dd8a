#pragma once

#include "qiao/common/bytes.h"
#include "qiao/common/id.h"
#include "qiao/common/result.h"
#include "qiao/common/time.h"
#include "qiao/trail/record.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The bytes of a trail folder, pure functions. Every layout here is described, with an example,
/// in docs/reference/formats/trail.md; golden/ holds a folder that must stay readable.
namespace qiao::trail::internal {

constexpr uint16_t kFormatMajor = 1;
constexpr uint16_t kFormatMinor = 1;
constexpr size_t kSegmentHeadBytes = 40;  ///< of version 1.0; what came since lies behind
constexpr size_t kSegmentHeadBytesMax = 4096;
constexpr size_t kRecordHeadBytes = 32;
/// The two slots lie in different pages, so that one torn write cannot hurt both.
constexpr size_t kMarkSlotStride = 4096;
constexpr size_t kMarkSlotBytes = 44;
/// Kinds from here on may be skipped by a reader that does not know them.
constexpr uint8_t kFirstSkippableKind = 128;

constexpr std::string_view kMarkFile = "mark";
constexpr std::string_view kConsumersFile = "consumers";
constexpr std::string_view kLockFile = "lock";

std::string segment_name(uint64_t number);
/// Empty for a name that is not a segment's.
std::optional<uint64_t> segment_number(std::string_view name);

struct SegmentHead {
    uint64_t number = 0;
    WallTime created;
    uint32_t head_bytes = kSegmentHeadBytes;  ///< where the first record begins
    /// Of the program that began the segment, at most 255 bytes; empty: it did not say. Since 1.1;
    /// earlier readers skip it.
    std::string release{};
};

Bytes encode(const SegmentHead& head);
/// Errors: trail.damaged, trail.newer_format.
Result<SegmentHead> decode_segment_head(ByteView bytes);

enum class RecordKind : uint8_t {
    Define = 1,  ///< gives a stream reference its meaning; body: the stream's id
    Data = 2,    ///< a caller's record
    Seal = 3,    ///< last of its segment; `sequence` counts the records before it
};

struct RecordHead {
    uint32_t length = 0;  ///< of the body
    uint32_t ref = 0;
    uint8_t kind = 0;
    StreamPoint point;

    size_t total() const { return kRecordHeadBytes + length; }

    bool is(RecordKind wanted) const { return kind == static_cast<uint8_t>(wanted); }
};

/// Appends a record that will lie at `offset` of segment `segment`. The checksum covers that place
/// too, so that a record copied elsewhere (or quoted inside a payload) is never taken for one.
void append_record(Bytes& out, uint64_t segment, uint64_t offset, RecordHead head, ByteView body);

struct ParsedRecord {
    enum class Outcome : uint8_t {
        Whole,
        Short,  ///< `needed` bytes must be at hand to tell
        Wrong,  ///< torn, damaged, or no record at all
    };

    Outcome outcome = Outcome::Wrong;
    size_t needed = 0;
    RecordHead head;
    ByteView body;
};

/// Looks at the bytes at `offset` of a segment. `left` is how many the file has from there on.
ParsedRecord parse_record(ByteView at_hand, uint64_t segment, uint64_t offset, uint64_t left);

/// Up to where everything is durable.
struct Mark {
    uint64_t generation = 0;
    uint64_t segment = 0;
    uint64_t offset = 0;
    bool operator==(const Mark&) const = default;
};

Bytes encode_slot(const Mark& mark);
/// Both slots with the same mark: what a fresh file holds.
Bytes encode_mark_file(const Mark& mark);

inline uint64_t slot_offset(const Mark& mark) { return mark.generation % 2 * kMarkSlotStride; }

/// The newer readable slot. Errors: trail.damaged when neither is, trail.newer_format.
Result<Mark> decode_mark_file(ByteView bytes);

using ConsumerTable = std::map<StreamId, std::vector<Consumer>>;

Bytes encode(const ConsumerTable& table);
/// Errors: trail.damaged, trail.newer_format.
Result<ConsumerTable> decode_consumers(ByteView bytes);

}  // namespace qiao::trail::internal
