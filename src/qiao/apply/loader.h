#pragma once

#include "qiao/apply/applier.h"

namespace qiao::apply {

/// A part of one load of a table: rows of one snapshot, joined to the stream at one position.
struct LoadPart {
    model::TableSchema schema;
    uint32_t generation = 0;          ///< of the table's load; a newer one replaces an older
    model::SourcePosition joined_at;  ///< transactions with commit before it are in the rows
    uint32_t number = 0;
    uint32_t parts = 1;
    drivers::LoadFormat format = drivers::LoadFormat::Tuples;
    /// Of a carried load, whose generation is its export's: what another process left unfinished of
    /// the same generation is removed and loaded again. That process is fenced; within one process
    /// such a load is begun once.
    bool begins_again = false;
    /// Of a flow: void unless announce() has told this process of it. A target that was started
    /// again since has left changes out that lie behind the rows' snapshot.
    bool announced = false;
};

/// A piece of a part's rows.
struct LoadRows {
    Bytes bytes;        ///< in the part's format
    bool whole = true;  ///< it ends where a row ends
    Bytes withheld{};   ///< tuples of rows with a withheld value
};

class PartWriter;

/// Writes the parts of first loads, one after another, on a connection of its own; several loaders
/// may work beside each other and beside the applier, on its executor. The rows of a part and what
/// they change in the table's state are one transaction; with its last part the table is live, and
/// the applier goes on with the changes that waited for it.
///
/// Rows that the target refuses and rows with a withheld value are laid aside in the part's
/// transaction, where that is the policy; else they end the load.
///
/// A load that breaks off is void: rows of it may stay behind until a newer generation removes
/// them. Any error ends the load of the table. Source: rules 13, 20. Spec: R-34
class Loader {
public:
    /// @param session  of a loader that has ended its part; null: one is opened
    Loader(
        drivers::TargetDatabase& database,
        Applier& applier,
        std::unique_ptr<drivers::TargetSession> session = nullptr
    );
    ~Loader();

    /// After end(): the session, for the next part. Null when it is not to be used again.
    std::unique_ptr<drivers::TargetSession> release() { return std::move(session_); }

    /// Tells the applier of loads to come, before the source takes their snapshot and sends their
    /// first changes. Until a load begins, changes of its table wait; after a restart of this side,
    /// until the source announces it again, none of a table without rows is applied: it gets a
    /// state, pending. Adds to what was announced before. Errors: apply.fenced, drivers.*
    Task<Status> announce(std::vector<model::TableName> tables);

    /// Errors: apply.load_void when the table's state or another part has made this load
    /// pointless; apply.fenced; apply.columns; drivers.*
    Task<Status> begin(LoadPart part);
    /// Tuples come whole in any case. Errors: apply.errors_full for too many refused rows.
    Task<Status> rows(LoadRows rows);
    /// Commits the part; gives the rows it had, those that were laid aside too. Errors: as begin(),
    /// and those of the rows.
    Task<Result<uint64_t>> end();

    /// Instead of a load: the table's rows are there already. It is followed from `joined_at` on,
    /// and unproven. Again without harm. Errors: as begin().
    Task<Status> adopt(LoadPart part);

private:
    Task<Status> save_pending(const std::vector<model::TableName>& tables);
    Task<Status> adopt_table();
    Task<Status> open_table();
    Task<Status> remove_rows();
    Task<Status> start_part();
    Task<Status> commit(drivers::TableStatus status);
    /// After a lost COMMIT: what the target says of the table, for certain.
    Task<Result<drivers::TableState>> settle();
    Task<Result<drivers::TableState>> read_state();
    bool is_current() const;
    Task<Error> give_up(Error error);
    Task<Result<uint64_t>> finish();
    drivers::TableState state_of_load(drivers::TableStatus status, size_t done) const;
    Task<Status> check_parts();
    Task<Status> lock();
    void note_committed();
    /// After the commit: what was laid aside counts.
    void note_laid_aside();

    drivers::TargetDatabase& database_;
    Applier::Core& core_;
    std::unique_ptr<drivers::TargetSession> session_;
    LoadPart part_;
    std::unique_ptr<PartWriter> writer_;
    bool remove_first_ = false;
    uint64_t counted_ = 0;  ///< interventions when the checkpoint was locked
    bool active_ = false;
};

}  // namespace qiao::apply
