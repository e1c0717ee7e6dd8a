#pragma once

#include "qiao/common/time.h"
#include "qiao/model/source_position.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace qiao::capture {

/// `2026-01-31 08:05:09.123456` for anything that begins with `2026-01-31 08:05:09`; missing digits
/// of the fraction are zeros. Empty for what is not a time. The zone is the source's own.
std::optional<std::string> full_stamp(std::string_view text);

/// The same time earlier by `by`, or later if it is negative; the text itself when it is not a
/// time.
std::string stamp_before(std::string_view stamp, Duration by);

/// The stamp's full second, or with `day` its day: the least that may have been rounded to it.
std::string stamp_floor(std::string_view stamp, bool day);

/// How far a timestamp source has come. What orders deliveries is when the source was asked, by its
/// own clock, because a late row is delivered when its stamp lies behind; the stamp is carried
/// along and says from where to ask the next time. Order bytes: the moment of the poll, `/`, the
/// page in 8 hexadecimal digits, `#`, the stamp (empty: none yet). Spec: H-30
struct Watermark {
    /// The page of a position at which a poll is complete.
    static constexpr uint32_t kWholePoll = 0xFFFFFFFF;

    WallTime poll;
    uint32_t page = 0;
    std::string stamp;

    bool operator==(const Watermark&) const = default;
    /// @param history names the table and column that the stamps belong to
    model::SourcePosition position(std::string_view history) const;
    static std::optional<Watermark> parse(const model::SourcePosition& position);
};

}  // namespace qiao::capture
