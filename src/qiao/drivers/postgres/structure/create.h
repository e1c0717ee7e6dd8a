#pragma once

#include "qiao/drivers/postgres/connection.h"
#include "qiao/drivers/structure.h"

namespace qiao::drivers::postgres {

/// Makes one phase of a structure at the target. What is there already stays as it is: a chosen
/// table that existed is compared, and how it differs stands in the findings.
///
/// BeforeLoad ends at the first statement that the target refuses. It runs in transactions of some
/// hundred statements, because locks are few; what they have made stays, and a repetition goes on
/// there. AfterLoad runs each statement by itself, collects those that the target refused, and can
/// be repeated until none is left. Which tables
/// still wait for it stands in Qiao's own schema, written with the tables: keys, indexes and
/// comments of a table that the first phase has met are not ours to add, whoever asks and when.
/// The connection must be outside a transaction.
/// Errors: drivers.* of the statement that failed, with its object (BeforeLoad); drivers.lost.
Task<Result<CreateReport>> create_structure(
    Connection& target, const Structure& structure, StructurePhase phase
);

}  // namespace qiao::drivers::postgres
