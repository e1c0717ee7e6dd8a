#pragma once

#include "qiao/engine/transfer_log.h"

#include <optional>
#include <string>

namespace qiao::engine::internal {

// Layout: docs/reference/formats/transfer_log.md

constexpr uint16_t kLogMajor = 1;
constexpr uint16_t kLogMinor = 0;
constexpr size_t kLogFrameBytes = 8;
constexpr size_t kLogBodyBytesMax = size_t{64} << 10U;

struct LogHead {
    uint64_t number = 0;
    WallTime made;
    std::string node;
};

/// `log-000000000001`
std::string log_name(uint64_t number);
/// 0: not the name of a segment.
uint64_t log_number(std::string_view name);

Bytes encode_log_head(const LogHead& head);
Bytes encode_log_body(const HandOver& hand_over, WallTime at);
/// The body with its frame, which binds it to its place.
Bytes frame_log_body(ByteView body, uint64_t segment, uint64_t offset);

/// Reads one segment from its bytes.
class LogReader {
public:
    /// Errors: engine.transfer_log for a newer format; an empty optional for a head that is torn
    /// or damaged.
    static Result<std::optional<LogReader>> open(ByteView segment, uint64_t number);

    const LogHead& head() const { return head_; }

    /// The next whole record. Empty at the end, or where a record is not as it was written.
    std::optional<LoggedHandOver> next();

    /// Behind the last record given.
    uint64_t offset() const { return offset_; }

    bool at_end() const { return offset_ == segment_.size(); }

    /// Where next() gave up: passes over it by its length. False: nothing whole lies behind, so
    /// that it is a torn tail.
    bool skip();

private:
    LogReader(ByteView segment, LogHead head, uint64_t offset)
        : segment_(segment), head_(std::move(head)), offset_(offset) {}

    /// The body of the record at `offset` when it is whole.
    std::optional<ByteView> body_at(uint64_t offset) const;

    ByteView segment_;
    LogHead head_;
    uint64_t offset_;
};

}  // namespace qiao::engine::internal
