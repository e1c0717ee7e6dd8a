#pragma once

#include "qiao/common/result.h"
#include "qiao/model/table.h"
#include "qiao/model/tuple.h"

#include <vector>

namespace qiao::capture::postgres::internal {

/// Whether each value of a row is within `most` bytes. A bytea that travels as text counts as what
/// it means, not as its digits. Errors: packet.too_large with table, column, size and key; no value
/// but that of the key is told. Source: rules 4
Status within_limit(
    const model::TableSchema& schema, const std::vector<model::Value>& values, size_t most
);

}  // namespace qiao::capture::postgres::internal
