#pragma once

#include "qiao/common/bytes.h"
#include "qiao/common/id.h"

#include <memory>
#include <string_view>
#include <utility>

namespace qiao::trail {

/// The largest payload: the largest packet of rules 4 and room for its headers.
constexpr size_t kPayloadBytesMax = 17U << 20U;

/// One opaque record as it was appended. Copying is cheap: the bytes are shared, and keep the block
/// they were read in (up to 1 MiB, or the record itself when larger) alive until the last copy
/// goes.
class Record {
public:
    Record(StreamPoint point, ByteView payload, std::shared_ptr<const void> owner)
        : point_(point), payload_(payload), owner_(std::move(owner)) {}

    StreamPoint point() const { return point_; }

    ByteView payload() const { return payload_; }

private:
    StreamPoint point_;
    ByteView payload_;
    std::shared_ptr<const void> owner_;
};

/// Where one reader of a stream stands.
enum class ConsumerState : uint8_t {
    Active = 1,  ///< holds back retention from its point on
    CutOff = 2,  ///< too slow on a shared stream, over the disk budget: must load anew
};

constexpr std::string_view to_text(ConsumerState state) {
    return state == ConsumerState::Active ? "active" : "cut_off";
}

/// What one consumer of one stream has released: it needs nothing up to and including `released`.
struct Consumer {
    std::string name;
    StreamPoint released;
    ConsumerState state = ConsumerState::Active;
    bool operator==(const Consumer&) const = default;
};

/// One place in a trail's files that is not as it was written.
struct Damage {
    enum class Kind : uint8_t {
        Record,     ///< bytes of a segment are wrong
        Head,       ///< the segment's head is wrong: nothing of the segment can be read
        Missing,    ///< bytes or a whole segment that the durable mark covers are not there
        Hole,       ///< records of `stream` behind `after` up to and including `upto` are not there
        Mark,       ///< both slots of the durable mark are unreadable
        Consumers,  ///< unreadable: nothing is removed until the next open; register all again
    };

    Kind kind = Kind::Record;
    uint64_t segment = 0;
    uint64_t offset = 0;  ///< of the first record that is not readable
    uint64_t bytes = 0;
    StreamId stream;    ///< Hole only
    StreamPoint after;  ///< Hole only: the last record before it
    StreamPoint upto;   ///< Hole only: the last record that is lost

    bool operator==(const Damage&) const = default;
    /// One line for logs and `qiao trail check`.
    std::string to_string() const;
};

}  // namespace qiao::trail
