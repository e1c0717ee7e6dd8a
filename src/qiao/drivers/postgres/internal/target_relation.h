#pragma once

#include "qiao/common/async/task.h"
#include "qiao/common/result.h"
#include "qiao/drivers/postgres/catalogue.h"
#include "qiao/drivers/postgres/connection.h"
#include "qiao/drivers/target_table.h"

namespace qiao::drivers::postgres::internal {

/// A target table with what the statements need to know about it.
struct TargetRelation {
    CatalogueTable catalogue;
    TargetTable table;
    uint32_t row_type_oid = 0;  ///< of its rows as values; 0: there is none
    bool reads_rows = false;    ///< the server takes each of its columns in binary form
    bool deferrable = false;    ///< some constraint may speak only at the end of the transaction

    /// `"s"."t"`, with ONLY where children must be left alone (inheritance without partitions).
    std::string only() const;
};

/// Errors: drivers.no_table; drivers.statement for what cannot be written to.
Task<Result<TargetRelation>> read_target_relation(Connection& connection, model::TableName table);

}  // namespace qiao::drivers::postgres::internal
