#pragma once

#include "qiao/drivers/structure.h"
#include "qiao/model/table.h"

#include <cstdint>
#include <string>
#include <vector>

namespace qiao::drivers {

/// How far the source has counted for a column that takes its numbers from a sequence.
struct SequenceValue {
    model::TableName table;  ///< under its name at the target
    std::string column;      ///< likewise
    std::string sequence;    ///< its name at the source, for people
    int64_t last = 0;        ///< the newest number that was given
    bool operator==(const SequenceValue&) const = default;
};

struct SequenceValues {
    std::vector<SequenceValue> values;
    std::vector<LeftOut> left_out;  ///< those that the source's user may not read
};

}  // namespace qiao::drivers
