#pragma once

#include "qiao/drivers/postgres/catalogue.h"
#include "qiao/drivers/table_part.h"

#include <string>

namespace qiao::drivers::postgres::internal {

/// What is true of the rows of a part, in a table called `t`; `true` for the whole table. Values
/// stand in it as literals, quoted. Errors: drivers.no_table for a column that is not there. Spec:
///
Result<std::string> part_condition(const CatalogueTable& table, const TablePart& part);

/// A query that gives both ends of a range in the text form of its column, NULL for one that is not
/// there, and fails where an end is no value of the type or the type has no order.
/// @param zone of stamps that name none.
/// Errors: drivers.no_table, drivers.bound. Spec: R-36
Result<std::string> settling_query(
    const CatalogueTable& table, const RangeWanted& wanted, const std::string& zone
);

/// What the server says against a statement with a range in it, as drivers.bound; other errors (of
/// the connection, of privileges) as they are.
Error as_bound_error(const Error& error);

}  // namespace qiao::drivers::postgres::internal
