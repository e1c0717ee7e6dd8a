#pragma once

#include "qiao/common/async/stop.h"
#include "qiao/common/clock.h"
#include "qiao/drivers/target_session.h"
#include "qiao/model/mapping.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qiao::apply {

/// A change as it was before it was laid aside.
struct LaidAside {
    model::TransactionHead head;
    model::Change change;
    std::shared_ptr<const void> keep;  ///< what the views of `change` point into
};

/// The opposite of SealChange. Errors: crypto.wrong_key, crypto.forged, packet.*
using OpenChange = std::function<Result<LaidAside>(ByteView sealed)>;

struct ReplayOptions {
    StreamId stream;
    model::Mapping names;  ///< as the stream's applier has them
    OpenChange open;
    std::optional<model::TableName> table;  ///< none: every table
    std::string key;                        ///< only what waits behind this name; empty: all
    bool resume = false;                    ///< the table, which is paused, goes on afterwards
    size_t batch_rows = 1000;
    size_t batch_bytes = size_t{16} << 20U;
};

struct ReplayReport {
    uint64_t applied = 0;  ///< changes that are in now
    uint64_t kept = 0;     ///< changes that still wait
    /// The first change of each row that still cannot be applied, with what it met now.
    std::vector<drivers::ErrorRow> refused;
};

/// What an operator does to one stream at its target: whether it is applied meanwhile, or by whom,
/// does not matter. Each act is one or more transactions under the checkpoint's lock; the stream's
/// owner sees it before the next change it writes. Source: rules 20, 21. Spec: R-51
class Intervention {
public:
    /// The database outlives it.
    Intervention(drivers::TargetDatabase& database, Clock& clock, StreamId stream);
    ~Intervention();

    /// Errors of all: apply.no_stream, drivers.*
    Task<Result<std::vector<drivers::TableState>>> tables();
    Task<Result<drivers::OpenErrors>> open_errors();
    Task<Result<std::vector<drivers::ErrorRow>>> errors(drivers::ErrorRange range);

    /// Errors: also those of ReplayOptions::open; common.cancelled between two batches;
    /// apply.table_state when `resume` is asked for a table that is not paused.
    Task<Result<ReplayReport>> replay(ReplayOptions options, StopSignal& stop);

    /// Drops what waits behind a name of a table: the row may differ from now on, and the table is
    /// unproven until a comparison. Changes dropped; none: apply.table_state.
    Task<Result<uint64_t>> skip(model::TableName table, std::string key);

    /// From now on changes of the table are laid aside. Errors: also apply.table_state unless it is
    /// live or unproven.
    Task<Status> pause(model::TableName table);
    /// Changes of the table are passed over from now on, until its flow, which may be running, has
    /// loaded it anew. Errors: also apply.table_state for a table that waits for its load.
    Task<Status> resync(model::TableName table);

private:
    Task<Status> connect();
    /// Before something is written, by tables of an earlier program.
    Task<Status> connect_to_write();
    /// `act` in a transaction of its own.
    Task<Status> within(Task<Status> act);
    Task<Result<drivers::TableState>> state_of(model::TableName table);
    Task<Status> change_state(model::TableName table, drivers::TableStatus to);
    Task<Status> drop(model::TableName table, std::string key, uint64_t& dropped);

    drivers::TargetDatabase& database_;
    Clock& clock_;
    StreamId stream_;
    std::unique_ptr<drivers::TargetSession> session_;
};

}  // namespace qiao::apply
