#pragma once

#include "qiao/agent/database.h"
#include "qiao/apply/applier.h"
#include "qiao/common/async/event_loop.h"
#include "qiao/common/storage.h"
#include "qiao/engine/carried_folder.h"
#include "qiao/engine/first_load.h"

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace qiao::agent {

struct CarriedImportOptions {
    drivers::DataSourceUrl to;
    StreamId stream;     ///< of the flow that will follow
    std::string source;  ///< what its source is called in the paths of changes
    std::string folder;  ///< with the load
    std::string state;   ///< locked meanwhile, so that no agent and no sync applies beside it
    /// At the target, as an agent's flow has them; none: as the load has them, kept in `state`.
    std::optional<model::Mapping> names;
    packet::ReceiverKeys keys;
    std::string digest;  ///< in hexadecimal, that the manifest must have; empty: any
    bool create = false;
    engine::FirstLoadOptions load;
};

/// One table as it is after the import.
struct ImportedTable {
    model::TableName source, target;
    uint64_t exported = 0;  ///< rows, as the manifest tells
    uint64_t counted = 0;   ///< at the target, after the load
    bool before = false;    ///< an earlier run of this import had loaded it
};

struct CarriedImportReport {
    engine::CarriedManifest manifest;
    Digest digest;
    uint64_t rows_loaded = 0;  ///< by this run
    std::vector<ImportedTable> tables;
    std::optional<drivers::CreateReport> created;
    Duration took{0};
};

/// Brings a carried load into a target that need not see the source. Everything is checked before
/// anything is written. A table goes live with its last part; started again after a crash, tables
/// that are live stay and the others begin again, so that no row is there twice.
/// Spec: R-11
class CarriedImport {
public:
    enum class Phase : uint8_t { Opening, Checking, Creating, Loading, Indexing, Counting };

    CarriedImport(EventLoop& loop, Storage& storage, Rng& rng, CarriedImportOptions options);
    ~CarriedImport();

    /// Once. Errors: engine.carried_*, engine.target_not_empty, crypto.wrong_key, those of loads.
    Task<Result<CarriedImportReport>> run();

    void stop() { stop_.request(); }

    Phase phase() const { return phase_; }

    /// Null before the folder was opened.
    const engine::CarriedFolder* folder() const { return folder_.get(); }

    /// Null before the load has begun.
    const engine::LoadStatus* status() const { return load_ ? &load_->status() : nullptr; }

private:
    /// Nobody waits for what the applier has applied: it applies nothing here.
    class Observer final : public apply::ApplyObserver {
    public:
        void applied(const apply::Applied& /*applied*/) override {}
    };

    Task<Status> open_folder();
    Task<Status> look_at_target();
    Status is_before_all(const drivers::CheckpointRow& checkpoint) const;
    Status look_at_states(const std::vector<drivers::TableState>& states);
    Task<Status> open_target();
    Task<Status> create(drivers::StructurePhase phase);
    Task<Status> announce();
    Task<Status> count();

    EventLoop& loop_;
    Storage& storage_;
    Rng& rng_;
    CarriedImportOptions options_;
    StopSignal stop_;
    Phase phase_ = Phase::Opening;
    std::unique_ptr<Storage::Lock> lock_;
    std::unique_ptr<engine::CarriedFolder> folder_;
    std::optional<drivers::Structure> structure_;
    model::Mapping names_;
    Target target_;
    std::set<model::TableName> before_;  ///< live by this very load
    std::set<model::TableName> known_;   ///< have some state
    Observer observer_;
    std::unique_ptr<apply::Applier> applier_;
    std::unique_ptr<engine::LocalTarget> local_;
    std::unique_ptr<engine::FirstLoad> load_;
    CarriedImportReport report_;
};

}  // namespace qiao::agent
