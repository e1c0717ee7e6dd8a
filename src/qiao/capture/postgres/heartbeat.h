#pragma once

#include "qiao/capture/postgres/kept_digests.h"
#include "qiao/capture/postgres/source_database.h"
#include "qiao/common/clock.h"
#include "qiao/common/rng.h"

#include <functional>
#include <memory>
#include <optional>

namespace qiao::capture::postgres {

struct HeartbeatOptions {
    StreamId stream;
    std::vector<model::TableName> tables;
    /// What is chosen of tables that do not go over whole: another choice is a change that no row
    /// tells, like those of the catalogue. Source: rules 25
    std::map<model::TableName, std::string> choices{};
    Duration every = std::chrono::seconds(10);
    /// Between two looks at the identities of published tables: for so long an UPDATE can fail
    /// whose table has just lost its key. PostgreSQL offers nothing that closes this gap without a
    /// superuser (an event trigger) or a lock that the owner would wait for.
    Duration guard_every = std::chrono::seconds(1);
    /// Off: nothing is written to the source; tables are still guarded and looked at.
    bool write = true;
    /// From before a restart; null: what happened meanwhile is not noticed.
    std::shared_ptr<KeptDigests> kept = nullptr;
};

/// Beside the stream, on a connection of its own: proves again and again that captured tables keep
/// their identity and withdraws those that do not, looks for catalogue changes that no row tells,
/// reads how far the log has come, and writes the note that proves that rows move. Trouble here
/// never stops the stream; it is kept for status and tried again. Source: rules 6, 11
class HeartbeatWriter {
public:
    HeartbeatWriter(
        HeartbeatOptions options,
        SourceDatabase& database,
        Executor& executor,
        Clock& clock,
        Rng& rng
    );

    /// Until `stop`; the first beat at once, and one as soon as the guard has found something.
    /// `after` is called after each, good or not.
    Task<void> run(StopSignal& stop, std::function<void()> after);

    /// One beat; run() repeats it.
    Task<Status> beat(StopSignal& stop);

    /// The end of the source's log at the last beat.
    Lsn newest() const { return newest_; }

    const std::optional<Error>& last_error() const { return last_error_; }

private:
    Task<Status> guard(StopSignal& stop);
    Task<Status> guard_on(SourceCatalogue& catalogue);
    Task<Status> beat_on(SourceCatalogue& catalogue);
    Task<Status> look_for_changes(SourceCatalogue& catalogue);
    Task<void> recall_digests();
    Task<Status> keep_digests();

    HeartbeatOptions options_;
    SourceDatabase& database_;
    Executor& executor_;
    Clock& clock_;
    Rng& rng_;
    std::unique_ptr<SourceCatalogue> catalogue_;
    Digests digests_;  ///< of tables that were looked at before
    Digests told_;     ///< as kept
    bool recalled_ = false;
    /// Found and not told yet: told with the first note that gets into the log.
    std::vector<model::TableName> changed_, withdrawn_;
    MonoTime look_due_{};  ///< when the catalogue is looked at again
    Lsn newest_ = 0;
    std::optional<Error> last_error_;
    // Of a planted bug alone.
    std::optional<int64_t> apart_;
    bool jumped_ = false;
};

}  // namespace qiao::capture::postgres
