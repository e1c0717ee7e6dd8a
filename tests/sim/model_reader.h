#pragma once

#include "qiao/drivers/model/model_database.h"
#include "qiao/drivers/table_reader.h"

#include "model_server.h"

#include <memory>

namespace qiao::sim {

/// Reads what is committed at one end, for comparisons, in snapshots that others write beside. A
/// session is cut, and answers are lost, by the faults of that end.
std::unique_ptr<drivers::TableReader> source_reader(ModelServer& server);
/// `server`: tells the shapes of tables.
std::unique_ptr<drivers::TableReader> target_reader(
    ModelServer& server, drivers::model_db::ModelDatabase& database
);

}  // namespace qiao::sim
