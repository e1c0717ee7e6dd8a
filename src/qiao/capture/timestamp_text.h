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

/// The same time earlier by `by`; the text itself when it is not a time.
std::string stamp_before(std::string_view stamp, Duration by);

/// How far a timestamp source has come: the newest stamp delivered, and a number that orders
/// deliveries, because a late row is delivered when its stamp lies behind. Order bytes:
/// the stamp (empty: none yet), `#`, 16 hexadecimal digits. Spec: H-30
struct Watermark {
    std::string stamp;
    uint64_t serial = 0;

    bool operator==(const Watermark&) const = default;
    /// @param history names the table and column that the stamps belong to
    model::SourcePosition position(std::string_view history) const;
    static std::optional<Watermark> parse(const model::SourcePosition& position);
};

}  // namespace qiao::capture
