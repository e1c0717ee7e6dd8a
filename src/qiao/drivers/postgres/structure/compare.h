#pragma once

#include "qiao/drivers/postgres/connection.h"
#include "qiao/drivers/structure.h"

#include <cstdint>
#include <vector>

namespace qiao::drivers::postgres {

/// How many characters or bytes a column of the target needs, to hold every value of a source
/// column of `length` characters: more where the target counts bytes. Spec: R-47
int32_t length_needed(int32_t length, const CharacterSet& source, const CharacterSet& target);

/// Whether the rows of the source's tables fit into the target's: missing tables and columns, other
/// or narrower types, keys, generated columns, NOT NULL columns that nobody fills. A finding for
/// each difference that matters, with the SQL that mends it; nothing for tables that fit.
/// `source` is under the source's names, `target` under the target's, both in the order of
/// `tables`.
std::vector<Finding> compare_shapes(
    const std::vector<TablePair>& tables, const DatabaseShape& source, const DatabaseShape& target
);

/// The same between two databases at hand. The connections must be outside transactions.
/// Errors: drivers.* of the queries.
Task<Result<std::vector<Finding>>> compare_structure(
    Connection& source, Connection& target, std::vector<TablePair> tables
);

}  // namespace qiao::drivers::postgres
