#pragma once

#include "qiao/capture/postgres/source_table.h"
#include "qiao/common/id.h"

#include <string>
#include <vector>

namespace qiao::capture::postgres {

/// What is to do so that exactly the chosen tables are published, and how. Tables with an identity
/// go to the stream's publication; those without go to a second one that leaves UPDATE and DELETE
/// out, because they would fail in the application otherwise. Conditions on rows are the
/// publication's, where the identity covers them, so that the server itself turns changes into and
/// out of them to inserts and deletes; columns are cut in the capture. Source: rules 11, 12, 25
struct PublicationPlan {
    std::string main;
    std::string inserts_only;
    std::vector<model::TableName> without_identity;
    /// In the order to run, each in one transaction; empty: everything is as it should be. What the
    /// stream may have sent already changes in the first one, so that nothing is missing between
    /// two of them; tables that are new to it follow some hundred at a time, because their locks
    /// are few.
    std::vector<std::vector<std::string>> transactions;
    bool has_conditions = false;
};

/// Compares the publications with the tables. Tables with a refusal are left out.
Task<Result<PublicationPlan>> plan_publications(
    drivers::postgres::Connection& connection, StreamId stream, std::vector<SourceTable> tables
);

std::vector<std::string> all_statements(const PublicationPlan& plan);

/// Runs the plan. Errors: drivers.privilege with the statements that the tables' owner can run;
/// capture.table for a condition over columns that the old rows do not tell, with the SQL that
/// mends it, and then its transaction has changed nothing: the application's UPDATE would have
/// failed. A repetition goes on behind the last transaction that was committed.
Task<Status> apply_publications(drivers::postgres::Connection& connection, PublicationPlan plan);

/// Takes tables that have lost their identity, or one that covers their condition, out of the
/// stream's publication, at once and without waiting long for locks, and names them: their UPDATE
/// and DELETE would fail in the application.
/// Called at every heartbeat. Source: rules 11
Task<Result<std::vector<model::TableName>>> guard_publications(
    drivers::postgres::Connection& connection, StreamId stream
);

/// Drops both publications of a stream, if they are there.
Task<Status> drop_publications(drivers::postgres::Connection& connection, StreamId stream);

}  // namespace qiao::capture::postgres
