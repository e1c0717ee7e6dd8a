#pragma once

#include "qiao/drivers/postgres/connection.h"
#include "qiao/drivers/sequence_value.h"
#include "qiao/model/mapping.h"

#include <vector>

namespace qiao::drivers::postgres {

/// Where the sequences of these tables' columns stand. A sequence belongs to a column by ownership,
/// identity or default; one that has given no number yet is not among them. Errors: drivers.*.
Task<Result<SequenceValues>> read_sequences(
    Connection& source, const std::vector<model::TableName>& tables, const model::Mapping& names
);

/// Brings the sequence of each column as far, never back: the next number is one that the source
/// has not given. What the target refuses stands in the report. Errors: drivers.lost.
Task<Result<CreateReport>> advance_sequences(
    Connection& target, const std::vector<SequenceValue>& values
);

}  // namespace qiao::drivers::postgres
