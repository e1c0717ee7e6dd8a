#pragma once

#include "qiao/common/async/task.h"
#include "qiao/common/result.h"
#include "qiao/drivers/postgres/connection.h"

namespace qiao::drivers::postgres::internal {

/// Makes the schema `qiao` and its tables where they are missing. Two sessions may do so at once.
/// A user without CREATE succeeds when the tables are there and may be written.
/// Errors: drivers.privilege with the GRANT that mends it.
Task<Status> make_own_tables(Connection& connection);

/// Bytes of a bytea in its hex form; empty on anything else.
Bytes bytea(std::string_view text);

}  // namespace qiao::drivers::postgres::internal
