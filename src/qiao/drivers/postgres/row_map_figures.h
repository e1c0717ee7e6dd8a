#pragma once

#include <cstddef>
#include <cstdint>

namespace qiao::drivers::postgres {

/// What the row maps of a target database hold and have done since the process began.
struct RowMapFigures {
    size_t tables = 0;
    size_t tables_over_budget = 0;
    size_t rows = 0;
    size_t bytes = 0;
    uint64_t hits = 0;    ///< changes that met their row at a place from a map
    uint64_t misses = 0;  ///< changes whose row had to be looked for
    uint64_t scans = 0;   ///< of a table for rows that were missed, each for a whole batch
    uint64_t builds = 0;
    uint64_t rebuilds = 0;  ///< because the table's files were others
};

}  // namespace qiao::drivers::postgres
