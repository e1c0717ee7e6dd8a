#pragma once

#include "qiao/apply/internal/catalogue.h"
#include "qiao/drivers/postgres/internal/target_relation.h"
#include "qiao/model/table.h"

#include <cstdint>
#include <memory>

// The table of the bench `apply`: twenty columns, some 550 bytes a row, in binary form.
namespace qiao::hot {

model::TableSchema person_schema();

/// The row of this id; another `version` of it differs in three columns.
Bytes person_row(uint64_t id, uint64_t version);
/// The same with its key alone, as a delete has it.
Bytes person_key(uint64_t id);

drivers::TargetTable person_target();
apply::BoundTable person_bound();
drivers::postgres::internal::TargetRelation person_relation();

}  // namespace qiao::hot
