#pragma once

#include "qiao/agent/timed_choice.h"
#include "qiao/capture/data_source.h"
#include "qiao/common/rng.h"
#include "qiao/drivers/postgres/connection.h"
#include "qiao/drivers/table_reader.h"
#include "qiao/drivers/target_session.h"
#include "qiao/drivers/url.h"
#include "qiao/engine/local_target.h"
#include "qiao/model/selection.h"
#include "qiao/model/withhold.h"

#include <memory>
#include <optional>
#include <string>

namespace qiao::agent {

// The one place that knows which databases this program can speak to.

struct SourceChoice {
    Duration heartbeat_every = std::chrono::seconds(10);
    bool heartbeat = true;
    std::optional<TimedChoice> timed;  ///< by time of change instead of by log
    model::Selection selection{};      ///< by log only
    /// Larger values are withheld: their rows are laid aside at the target. Source: rules 4
    size_t value_bytes_max = model::kValueBytesMost;
    /// What has passed one of these comes back to where it was, and is left out. Source: rules 16
    std::vector<std::string> own_origins;
    /// Where a flow keeps what it knows of its source, in `folder`; null: it is forgotten.
    Storage* storage = nullptr;
    std::string folder = {};
};

/// Errors: common.config for a scheme that cannot be a source.
Result<std::unique_ptr<capture::DataSource>> make_source(
    drivers::postgres::Runtime runtime,
    const drivers::DataSourceUrl& url,
    SourceChoice choice,
    Rng& rng,
    StopSignal& stop
);

/// A target database with the maker of its structures.
struct Target {
    std::unique_ptr<drivers::TargetDatabase> database;
    std::unique_ptr<engine::StructureMaker> structures;
};

/// `source`: what the source is called in the paths of changes; empty: nothing is marked.
/// Errors: common.config for a scheme that cannot be a target.
Result<Target> make_target(
    drivers::postgres::Runtime runtime,
    const drivers::DataSourceUrl& url,
    StopSignal& stop,
    std::string source
);

/// For comparing; a source is seen as its capture sees it: by time of change, or its chosen
/// columns and rows. Of a target nothing is chosen. `stop`
/// ends its connection and outlives it. Errors: common.config, the database's.
Task<Result<std::unique_ptr<drivers::TableReader>>> make_reader(
    drivers::postgres::Runtime runtime,
    drivers::DataSourceUrl url,
    SourceChoice choice,
    StopSignal& stop
);

/// Removes what Qiao keeps in a target about a stream.
Task<Status> drop_target_traces(
    drivers::postgres::Runtime runtime,
    const drivers::DataSourceUrl& url,
    StreamId stream,
    StopSignal& stop
);

}  // namespace qiao::agent
