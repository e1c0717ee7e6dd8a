#pragma once

#include "qiao/common/async/task.h"
#include "qiao/common/id.h"
#include "qiao/common/result.h"
#include "qiao/drivers/postgres/connection.h"
#include "qiao/drivers/postgres/row_map_figures.h"
#include "qiao/drivers/target_session.h"
#include "qiao/drivers/url.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace qiao::drivers::postgres {

struct TargetOptions {
    std::string application_name = "qiao apply";
    /// Names the source of what is written, first in each transaction and behind whoever had it
    /// before (rules 16); empty: no marker.
    std::string origin_path;
    /// Off: commits return before they are flushed; `applied` is then true only once the target's
    /// flush position has passed. Claims are flushed always.
    bool synchronous_commit = true;
    /// Whether triggers, rules and foreign keys of the target run for our writes. The source has
    /// run its own already and their effects come as changes, so a cascade that ran again here
    /// would meet rows that are gone. Off needs a superuser, or SET on session_replication_role
    /// (PostgreSQL 15 and later); verify proves the foreign keys then. Source: rules 19
    enum class Triggers : uint8_t {
        OffWhereAllowed,
        Off,
        On,
    } triggers = Triggers::OffWhereAllowed;
    Duration connect_timeout = std::chrono::seconds(10);
    /// What the row maps of all tables without a key may take in memory. Spec: R-24
    size_t row_map_bytes = size_t{64} << 20U;
};

namespace internal {
class RowMaps;
}

/// A PostgreSQL database as a target: sessions by libpq, with Qiao's own tables in its schema
/// `qiao`. Rows are written by prepared statements in pipeline mode, or as sets by COPY and
/// unnest() with values in the form in which they came. Spec. Source: rules 17, 19, 30
class PostgresTarget final : public TargetDatabase {
public:
    /// `runtime` and `stop` outlive this and its sessions; every wait of a session ends with
    /// common.cancelled when `stop` is requested.
    PostgresTarget(Runtime runtime, DataSourceUrl url, TargetOptions options, StopSignal& stop);

    Task<Result<std::unique_ptr<TargetSession>>> connect() override;

    std::string display() const override { return url_.display(); }

    /// Of tables without a key: how their rows are found.
    RowMapFigures row_maps() const;

private:
    Runtime runtime_;
    DataSourceUrl url_;
    TargetOptions options_;
    StopSignal& stop_;
    std::shared_ptr<internal::RowMaps> row_maps_;  ///< of all sessions, and for later ones
};

/// Removes what Qiao keeps in a database about these streams, or about all when none is named; the
/// tables and the schema go with the last row. No error when nothing is there.
/// Errors: drivers.privilege; drivers.constraint when others have put objects into the schema.
Task<Status> drop_traces(Connection& connection, std::vector<StreamId> streams);

}  // namespace qiao::drivers::postgres
