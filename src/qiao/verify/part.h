#pragma once

#include "qiao/common/error.h"
#include "qiao/drivers/table_part.h"

#include <cstdint>
#include <optional>
#include <string>

namespace qiao::verify {

/// Which rows of a table are compared: all, or those of a sample and a range. What is found of a
/// part proves nothing of the whole. docs/adr/0012-verification.md. Spec: R-36
struct Part {
    uint32_t share = 0;            ///< of a sample, hundredths of a per cent; 0: no sample
    std::optional<uint32_t> seed;  ///< of the sample; none: one is drawn
    std::optional<drivers::RangeWanted> range;
    bool operator==(const Part&) const = default;

    bool whole() const { return share == 0 && !range; }
};

/// The longest `within` of a range that any side takes.
constexpr Duration kWithinMost = std::chrono::hours(24 * 365 * 10);

/// For people: `5 % of rows (seed 123); public.t.updated_at from '…' to '…'`; empty for all rows.
/// @param table stands before the column's name; may be empty.
std::string render(const Part& part, const std::string& table, Language language);

}  // namespace qiao::verify
