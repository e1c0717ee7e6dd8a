#pragma once

#include "qiao/common/async/task.h"
#include "qiao/common/id.h"
#include "qiao/common/result.h"
#include "qiao/drivers/postgres/connection.h"
#include "qiao/model/table.h"

#include <vector>

namespace qiao::drivers::postgres::internal {

/// Makes the schema `qiao` and its tables where they are missing. Two sessions may do so at once.
/// A user without CREATE succeeds when the tables are there and may be written.
/// Errors: drivers.privilege with the GRANT that mends it.
Task<Status> make_own_tables(Connection& connection);

// Parameters of statements about those tables.
std::vector<Parameter> parameters_of(StreamId stream);
void add_table(std::vector<Parameter>& parameters, const model::TableName& table);
/// Epochs and sequences are far from 2^63, so bigint holds them.
Parameter number_parameter(uint64_t value);

/// Bytes of a bytea in its hex form; empty on anything else.
Bytes bytea(std::string_view text);

}  // namespace qiao::drivers::postgres::internal
