#pragma once

#include "qiao/drivers/postgres/connection.h"
#include "qiao/drivers/structure.h"
#include "qiao/model/mapping.h"

#include <vector>

namespace qiao::drivers::postgres {

/// Where the sequences of these tables' columns stand, as statements (phase AfterLoad) that bring
/// the sequence of the same column at the target as far, never back: the target's next number is
/// one that the source has not given. A sequence belongs to a column by ownership, identity or
/// default. One that the source's user may not read is left out by name. Errors: drivers.*.
Task<Result<Structure>> read_sequences(
    Connection& source, const std::vector<model::TableName>& tables, const model::Mapping& names
);

}  // namespace qiao::drivers::postgres
