#pragma once

#include "qiao/common/time.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace qiao::drivers {

/// A share of a table's rows, the same rows in every database: those whose digest falls below the
/// share. The digest is MD5 over UTF-8 of the seed in decimal and, after a U+001F each, the text of
/// the columns (nothing for NULL). Spec: R-36
struct RowSample {
    static constexpr uint32_t kAll = 10'000;

    uint32_t share = kAll;             ///< hundredths of a per cent: 1 … kAll
    uint32_t seed = 0;                 ///< another one, and other rows are chosen
    std::vector<std::string> columns;  ///< of the key; without one, all that are compared
    bool operator==(const RowSample&) const = default;
};

/// Rows whose column lies between two values, given as text that the database casts to the column's
/// type. Text is ordered by its code points, whatever the column's collation. NULL lies in no
/// range. Spec: R-36
struct RowRange {
    std::string column;
    std::optional<std::string> from;  ///< inclusive; none: without a lower end
    std::optional<std::string> to;    ///< exclusive; none: without an upper end
    bool operator==(const RowRange&) const = default;
};

/// The rows of a table that are read: all, or those that are in the sample and in the range.
struct TablePart {
    std::optional<RowSample> sample;
    std::optional<RowRange> range;
    bool operator==(const TablePart&) const = default;

    bool whole() const { return !sample && !range; }
};

/// A range as somebody asks for it.
struct RangeWanted {
    RowRange range;
    /// From so long before the database's own present time on, instead of the ends.
    std::optional<Duration> within;
    bool operator==(const RangeWanted&) const = default;
};

}  // namespace qiao::drivers
