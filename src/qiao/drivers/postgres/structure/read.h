#pragma once

#include "qiao/drivers/postgres/connection.h"
#include "qiao/drivers/structure.h"

#include <string>
#include <vector>

namespace qiao::drivers::postgres {

/// Reads all that the chosen tables need, as statements for a PostgreSQL target, from one view of
/// the source's catalogue. Partitions of a chosen table come with it. Names of the target are
/// applied here, where the catalogue tells which words of a definition are names.
///
/// @param tables  names as they stand in the catalogue. A partition goes to the schema of its root
///                unless it is chosen itself; a sequence goes with the table that owns it; types
///                and functions keep their schemas.
/// The connection must be outside a transaction; nothing is written.
/// Errors: drivers.no_table naming the tables that are not there, drivers.* of the queries.
Task<Result<Structure>> read_structure(Connection& source, std::vector<TablePair> tables);

/// What decides whether rows fit, of these tables. The connection must be outside a transaction.
Task<Result<DatabaseShape>> read_shape(
    Connection& connection, std::vector<model::TableName> tables
);

namespace structure {

/// `{"a","b"}`, whatever the texts hold.
std::string text_array(const std::vector<std::string>& texts);

/// Schemas and names, as two arrays.
std::vector<Parameter> name_arrays(const std::vector<model::TableName>& tables);

/// read_shape() inside a transaction that has an empty search path.
Task<Result<DatabaseShape>> read_shape_here(
    Connection& connection, std::vector<model::TableName> tables
);

}  // namespace structure
}  // namespace qiao::drivers::postgres
