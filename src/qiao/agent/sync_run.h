#pragma once

#include "qiao/agent/database.h"
#include "qiao/common/async/event_loop.h"
#include "qiao/common/async/scope.h"
#include "qiao/common/storage.h"
#include "qiao/engine/source_flow.h"
#include "qiao/engine/target_flow.h"
#include "qiao/engine/transfer_log.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qiao::agent {

struct SyncOptions {
    drivers::DataSourceUrl from, to;
    std::vector<std::string> tables;   ///< patterns
    model::Mapping names;              ///< of tables at the target
    model::Selection selection;        ///< of tables that do not go over whole, beside what is kept
    std::optional<TimedChoice> timed;  ///< by time of change; else by log
    bool create = false;
    bool existing = false;   ///< no first load: the target has the rows already
    bool reopen = false;     ///< begins a new epoch where the old one cannot be gone on with
    bool lay_aside = false;  ///< rows that the target refuses; else they stop the run
    bool report_foreign_changes = false;  ///< see apply::ApplierOptions
    bool follow = false;  ///< else: end when caught up with a position read after the start
    std::string state;    ///< folder; made when missing
    std::string release;  ///< of this program
    std::string suite = "gm";
    engine::FirstLoadOptions load;
    size_t value_bytes_max = model::kValueBytesMost;  ///< larger values are withheld
};

/// The stream between two databases, the same whenever it is asked for, whether the ends can be
/// reached or not: a digest of where both are.
StreamId sync_stream(const drivers::DataSourceUrl& from, const drivers::DataSourceUrl& to);
/// Of one table or view by time of change: each is a stream of its own.
/// Errors: common.config for a name that is not one table's.
Result<StreamId> timed_sync_stream(
    const drivers::DataSourceUrl& from, const drivers::DataSourceUrl& to, const std::string& table
);
/// What a database is called in the paths of changes that pass several syncs. Source: rules 16
std::string database_tag(const drivers::DataSourceUrl& url);
/// Of a sync as it is asked for. Errors: as above.
Result<StreamId> sync_stream(const SyncOptions& options);

/// What a run did.
struct SyncReport {
    engine::SourceFlowStatus flow;
    uint64_t rows_loaded = 0;
    uint64_t rows_applied = 0, transactions_applied = 0;
    uint64_t divergences = 0;
    uint64_t laid_aside = 0;  ///< changes that wait at the target: it is not equal yet
    model::SourcePosition caught_up_to;
    size_t sequences = 0;  ///< looked at at the end, and brought as far as the source's
    std::vector<capture::Leftover> leftovers;
    Duration took{0};
};

/// The whole way of a row in one process: capture, packets, embedded trail, apply, checkpoint.
/// Spec
class SyncRun {
public:
    /// @param options  for which sync_stream() gives a stream
    SyncRun(EventLoop& loop, Storage& storage, Rng& rng, SyncOptions options);
    ~SyncRun();

    /// Once. Errors: those of the first thing that waiting does not mend.
    Task<Result<SyncReport>> run();

    /// Ends run() in order, from a signal.
    void stop() { scope_.request_stop(); }

    // For progress; null before their part has begun.
    const engine::SourceFlow* source() const { return source_flow_.get(); }

    /// Every table is loaded and the log is followed.
    bool following() const { return source_flow_ && source_flow_->following().is_set(); }

    /// To repair through, while it follows.
    engine::SourceFlow* flow() { return source_flow_.get(); }

    const engine::TargetFlow* target() const { return target_flow_.get(); }

    /// Why a database was not reached yet, and how often that was tried; before anything else.
    struct Unreached {
        uint32_t tries = 0;
        Error error;
    };

    const std::optional<Unreached>& unreached() const { return unreached_; }

    /// What the source has noticed on the way, as it stands now.
    std::vector<drivers::Finding> notes() const {
        return source_ ? source_->notes() : std::vector<drivers::Finding>();
    }

private:
    Task<Status> open_state();
    Task<void> open_log();
    engine::FlowLog flow_log() const;
    Task<Status> reach_databases();
    Task<Status> connect_both();
    Task<Status> open_flows();
    Task<Status> catch_up();
    std::optional<Error> stuck() const;
    Task<Status> bring_sequences();
    Task<void> run_source();
    Task<void> run_target();
    Task<void> release_custody();
    Task<void> look_at_leftovers();
    void end(const Status& status);
    Result<SyncReport> report() const;

    EventLoop& loop_;
    Storage& storage_;
    Rng& rng_;
    SyncOptions options_;
    StreamId stream_;
    MonoTime started_;

    std::unique_ptr<Storage::Lock> lock_;
    std::shared_ptr<const crypto::PrivateKey> wrapping_key_;
    std::unique_ptr<trail::Trail> trail_;
    std::unique_ptr<engine::TransferLog> log_;
    std::optional<engine::KeyStore> keys_;
    std::unique_ptr<capture::DataSource> source_;
    Target target_;
    std::unique_ptr<engine::TargetFlow> target_flow_;
    std::unique_ptr<engine::SourceFlow> source_flow_;
    engine::ChainTip applied_;
    Event applied_changed_;
    std::optional<Unreached> unreached_;
    std::optional<Error> failure_;
    model::SourcePosition caught_up_to_;
    drivers::CreateReport sequences_;
    std::vector<drivers::LeftOut> sequences_left_out_;
    std::vector<capture::Leftover> leftovers_;
    TaskScope logging_;  ///< ends last, with all records written
    TaskScope scope_;
};

}  // namespace qiao::agent
