#pragma once

#include "qiao/agent/database.h"
#include "qiao/common/async/event_loop.h"
#include "qiao/common/storage.h"
#include "qiao/engine/carried_writer.h"
#include "qiao/engine/first_load.h"

#include <memory>
#include <string>
#include <vector>

namespace qiao::agent {

struct CarriedExportOptions {
    drivers::DataSourceUrl from;
    StreamId stream;  ///< of the flow that will follow
    std::string node = "sync";
    std::vector<std::string> tables;  ///< patterns
    model::Mapping names;             ///< of tables at the target
    model::Selection selection;       ///< of tables that do not go over whole
    size_t value_bytes_max = model::kValueBytesMost;
    std::string folder;  ///< new or empty
    /// Of a sync: locked, and keeps the names. Empty: an agent's flow, whose agent may be running.
    std::string state;
    std::string suite = "gm";
    std::shared_ptr<const crypto::PublicKey> receiver;
    std::string tool_version;
    engine::FirstLoadOptions load;
};

struct CarriedExportReport {
    engine::CarriedManifest manifest;
    Digest digest;  ///< of the manifest
    std::vector<drivers::Finding> findings;
    std::vector<drivers::LeftOut> left_out;
    std::vector<capture::Leftover> leftovers;  ///< at the source: what holds the log for the flow
    Duration took{0};
};

/// Writes a first load into a folder. The source is set up as by a first run, so that the flow that
/// follows finds all that changes from the load's snapshot on: publications and slot first, then
/// the snapshot. Done again, into another folder, it is a newer load.
/// Spec: R-11
class CarriedExport {
public:
    CarriedExport(EventLoop& loop, Storage& storage, Rng& rng, CarriedExportOptions options);

    /// Once. Errors: engine.carried_not_empty, agent.identity for a key that is not of the suite,
    /// those of first loads. What a failed one leaves in the folder has no manifest.
    Task<Result<CarriedExportReport>> run();

    /// Ends run() in order, from a signal.
    void stop() { stop_.request(); }

    /// Null before the load has begun.
    const engine::LoadStatus* status() const { return load_ ? &load_->status() : nullptr; }

private:
    Task<Status> open();
    Task<Status> choose();
    Task<Status> load();
    Task<void> look_at_leftovers();

    EventLoop& loop_;
    Storage& storage_;
    Rng& rng_;
    CarriedExportOptions options_;
    StopSignal stop_;
    std::unique_ptr<Storage::Lock> lock_;
    std::unique_ptr<capture::DataSource> source_;
    std::unique_ptr<engine::CarriedWriter> writer_;
    std::unique_ptr<engine::FirstLoad> load_;
    std::vector<model::TableName> tables_;
    CarriedExportReport report_;
};

}  // namespace qiao::agent
