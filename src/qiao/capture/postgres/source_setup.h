#pragma once

#include "qiao/capture/postgres/publication.h"
#include "qiao/capture/postgres/slot.h"

namespace qiao::capture::postgres {

struct SetupReport {
    bool slot_made = false;
    std::vector<std::string> statements;             ///< run on the source, for the log
    std::vector<model::TableName> without_identity;  ///< inserts and truncates only
};

/// Makes, or brings up to date, what a stream needs at its source: publications first, then the
/// slot. May be called again with other tables: a table added is in the stream from now on, and its
/// load may begin, because a load's snapshot waits for the transactions that run now.
/// Errors: capture.table with reason and SQL, capture.no_slot, drivers.privilege with SQL.
/// Source: rules 11, 12
Task<Result<SetupReport>> set_up_source(
    drivers::postgres::Connection& connection, StreamId stream, std::vector<ChosenTable> tables
);

/// A connection for it and for slots, publications, check and clean-up. `stop` outlives it.
Task<Result<std::unique_ptr<drivers::postgres::Connection>>> connect_catalogue(
    drivers::postgres::Runtime runtime, drivers::DataSourceUrl url, StopSignal& stop
);

struct CleanupReport {
    std::vector<std::string> dropped;  ///< `slot qiao_…`, `publication qiao_…`
    std::vector<std::string> left;     ///< with why: another database's, in use
};

/// Drops slot and publications of one stream, or of all streams (no id) of this database. What
/// another reader uses is left and named. Errors: drivers.*
Task<Result<CleanupReport>> drop_source_traces(
    drivers::postgres::Connection& connection, std::optional<StreamId> stream
);

}  // namespace qiao::capture::postgres
