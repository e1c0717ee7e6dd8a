#pragma once

#include "qiao/common/async/task.h"
#include "qiao/common/id.h"
#include "qiao/common/result.h"
#include "qiao/drivers/target_table.h"
#include "qiao/model/change.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace qiao::drivers {

/// The row that makes apply exactly-once: what of a stream is committed in this database, and who
/// may go on. Written in the same transaction as the rows. Source: rules 17
struct CheckpointRow {
    StreamPoint point;               ///< the last packet of which everything is committed
    model::SourcePosition position;  ///< commit position of the last transaction applied
    Digest digest;                   ///< of the packet at `point`
    Incarnation owner;               ///< the fencing token
    bool operator==(const CheckpointRow&) const = default;
};

enum class TableStatus : uint8_t {
    Pending = 0,  ///< chosen, not loaded yet
    Loading = 1,  ///< a load session is under way; rows of an older one may be there
    Live = 2,     ///< loaded; changes from `joined_at` on are applied
    Paused = 3,
    NeedsResync = 4,
    Unproven = 5,     ///< may differ until verify-and-repair has passed (rules 1, 23)
    ResyncAsked = 6,  ///< as NeedsResync; its flow loads it anew as soon as it runs
};

/// For machines: `needs_resync`.
constexpr std::string_view name_of(TableStatus status) {
    switch (status) {
        case TableStatus::Pending:
            return "pending";
        case TableStatus::Loading:
            return "loading";
        case TableStatus::Live:
            return "live";
        case TableStatus::Paused:
            return "paused";
        case TableStatus::NeedsResync:
            return "needs_resync";
        case TableStatus::Unproven:
            return "unproven";
        case TableStatus::ResyncAsked:
            return "resync_asked";
    }
    return "unknown";
}

/// Per-table state, beside the checkpoint and changed in the same transactions. Source: rules 20
struct TableState {
    model::TableName table;
    uint32_t generation = 0;
    TableStatus status = TableStatus::Pending;
    model::SourcePosition joined_at;  ///< transactions with commit before it are in the load
    /// Why it stands, with the statements that mend it; for people. Empty: by somebody's wish.
    /// While it loads: how many of its parts are in.
    std::string note{};
    /// Unproven: only a comparison as of this position or a later one counts. Of a paused table
    /// with a note: as soon as it goes on. Source: rules 1, 23
    model::SourcePosition doubted_at{};
    bool operator==(const TableState&) const = default;
};

/// A change that was laid aside: it could not be applied, lies behind one that could not, or its
/// table is paused. Row images are sealed bytes; the key is readable. Source: rules 20, 21
struct ErrorRow {
    uint64_t number = 0;  ///< given by the target: the order of laying aside
    model::TableName table;
    std::string key_text;           ///< of the row, for people
    std::vector<std::string> keys;  ///< later changes with one of these names go behind it
    StreamPoint point;
    model::SourcePosition position;
    std::string code;
    std::string detail;
    Bytes sealed_change;
};

/// A name behind which later changes of a table go. Source: rules 21
struct ErrorKey {
    model::TableName table;
    std::string key;
    auto operator<=>(const ErrorKey&) const = default;
};

/// What of a stream is laid aside, in short.
struct OpenErrors {
    std::vector<ErrorKey> keys;  ///< each once
    std::map<model::TableName, uint64_t> rows;
};

/// A stretch of what is laid aside.
struct ErrorRange {
    std::optional<model::TableName> table;  ///< none: of every table
    uint64_t after = 0;                     ///< its number
    size_t rows_most = 1000;
    size_t bytes_most = size_t{16} << 20U;  ///< of sealed changes; one row comes in any case
};

enum class WriteMode : uint8_t {
    SetBased,  ///< one statement for all rows; the result tells only how many were met
    RowByRow,  ///< one statement a row, in order, pipelined; the result tells which
};

/// Changes of one kind to one table, in order.
struct TableWrite {
    const model::TableSchema* schema = nullptr;
    const TargetTable* target = nullptr;
    model::Op op = model::Op::Insert;
    std::span<const model::Change* const> changes;
    /// Updates and deletes meet a row only if it is as their whole old image says, not by its key
    /// alone. Those without a whole old image go by the key.
    bool checks_old_rows = false;
};

/// Gives the next sets; none at their end. What they refer to lives until all results are there.
using NextSets = std::function<std::vector<TableWrite>()>;

struct WriteResult {
    /// Updates and deletes that met no row. Set-based: only the count.
    size_t missed = 0;
    /// Row by row: their indices.
    std::vector<size_t> missed_at;

    /// The statement that failed; the transaction is aborted until rolled back (to a savepoint).
    struct Failure {
        std::optional<size_t> index;  ///< which change, when it can be told
        Error error;
    };

    std::optional<Failure> failure;
};

/// Load rows as the source's own bulk format, when both ends share it. Numbers never change.
enum class LoadFormat : uint8_t { PgCopyBinary = 1, PgCopyText = 2, Tuples = 3 };

/// Whether a COMMIT took effect. Unknown: the connection was lost between sending it and its reply;
/// reading the checkpoint under lock on a new session tells (it waits for the old backend).
struct CommitOutcome {
    enum class Kind : uint8_t { Committed, Failed, Unknown } kind = Kind::Committed;
    std::optional<Error> error;
};

/// The target database as a seam: PostgreSQL by libpq, or the simulator's model. One operation at
/// a time. After a failed operation inside a transaction only rollback() and rollback_to() make
/// sense; after common.network_closed the session is dead. Source: rules 17, 19, 30
/// Errors of every call: drivers.* by class (transient, environment, data).
class TargetSession {
public:
    virtual ~TargetSession() = default;

    /// Creates Qiao's own tables when they are not there, and what an earlier program's lack.
    /// Errors: drivers.privilege with the grant, or the statement for their owner.
    virtual Task<Status> prepare() = 0;

    virtual Task<Result<TargetTable>> describe(model::TableName table) = 0;

    /// Statements in this database's language that give the table what the source's got between two
    /// shapes, both under this database's names; empty: nothing is missing. See adoption_steps().
    /// Errors: drivers.no_table.
    virtual Task<Result<std::vector<std::string>>> adoption(
        model::TableSchema before, model::TableSchema now
    ) = 0;

    /// Takes the stream over for `owner`, in a transaction of its own: from its commit on, no other
    /// owner's advance() succeeds. Creates the row of a new stream. Waits for a running
    /// transaction.
    virtual Task<Result<CheckpointRow>> claim(StreamId stream, Incarnation owner) = 0;

    /// The checkpoint as committed, without taking it over; none for a stream never claimed.
    virtual Task<Result<std::optional<CheckpointRow>>> checkpoint(StreamId stream) = 0;
    /// Whether the table has no row at all, seen now.
    virtual Task<Result<bool>> is_empty(model::TableName table) = 0;

    /// `passed`: who had the changes before their source, see model::TransactionHead. Where the
    /// session has a name for the source, both are written first into the transaction, so that a
    /// capture of this database knows where it has been. Source: rules 16
    virtual Task<Status> begin(std::string passed = {}) = 0;
    /// Locks the checkpoint at the start of a transaction; must equal `expected`. Gives how often
    /// others have changed what is kept beside it, see intervene(). Errors: apply.fenced.
    virtual Task<Result<uint64_t>> lock_checkpoint(StreamId stream, CheckpointRow expected) = 0;
    /// Locks the checkpoint whatever it says, for somebody who is not the stream's owner and
    /// changes table states or errors in this transaction. The owner reads them anew before it goes
    /// on. The owner's own loads count, too: a count that is another one than it knows shows that
    /// the database has lost their commits. Errors: apply.no_stream.
    virtual Task<Status> intervene(StreamId stream) = 0;
    /// Compare-and-set within the open transaction. Errors: apply.fenced.
    virtual Task<Status> advance(StreamId stream, CheckpointRow from, CheckpointRow to) = 0;
    virtual Task<CommitOutcome> commit() = 0;
    /// begin() and lock_checkpoint(), in one go where the database can. Errors: of both.
    virtual Task<Result<uint64_t>> begin_locked(
        std::string passed, StreamId stream, CheckpointRow expected
    );
    /// advance() and commit(), in one go where the database can.
    virtual Task<CommitOutcome> advance_and_commit(
        StreamId stream, CheckpointRow from, CheckpointRow to
    );
    virtual Task<Status> rollback() = 0;
    virtual Task<Status> savepoint() = 0;
    virtual Task<Status> rollback_to_savepoint() = 0;
    virtual Task<Status> release_savepoint() = 0;

    /// Writes rows in the open transaction. The Result is an error only when the session is dead.
    virtual Task<Result<WriteResult>> write(TableWrite write, WriteMode mode) = 0;
    /// Several of them set-based, in order, in one go where the database can: the next are asked
    /// for while it works on those before. A result for each, up to the first that failed; then
    /// nothing of any of them is to be kept. As write() else.
    virtual Task<Result<std::vector<WriteResult>>> write_sets(NextSets next);
    /// Exactly these tables, never cascading. Errors: drivers.constraint when others refer to them.
    virtual Task<Status> truncate(std::vector<model::TableName> tables, bool restart_identity) = 0;
    virtual Task<Status> delete_all(model::TableName table) = 0;
    /// Makes deferred constraints speak now, so that a row can be blamed.
    virtual Task<Result<WriteResult>> check_constraints() = 0;

    // State kept beside the checkpoint; writes belong to the open transaction.
    virtual Task<Result<std::vector<TableState>>> table_states(StreamId stream) = 0;
    /// Of one table; none: it has no state.
    virtual Task<Result<std::optional<TableState>>> table_state(
        StreamId stream, model::TableName table
    ) = 0;
    virtual Task<Status> save_table_state(StreamId stream, TableState state) = 0;
    /// Those saved last come last.
    virtual Task<Result<std::vector<model::TableSchema>>> schemas(StreamId stream) = 0;
    virtual Task<Status> save_schema(StreamId stream, model::TableSchema schema) = 0;
    virtual Task<Status> save_error(StreamId stream, ErrorRow row) = 0;

    virtual Task<Result<OpenErrors>> open_errors(StreamId stream) = 0;
    /// In order, without their `keys`.
    virtual Task<Result<std::vector<ErrorRow>>> read_errors(StreamId stream, ErrorRange range) = 0;
    virtual Task<Status> drop_errors(StreamId stream, std::vector<uint64_t> numbers) = 0;
    /// Those of the table that have `key` among their keys, and gives the keys of each; all of the
    /// table when it is empty, and gives none.
    virtual Task<Result<std::vector<std::vector<std::string>>>> drop_errors(
        StreamId stream, model::TableName table, std::string key
    ) = 0;
    /// Another cause, after another try.
    virtual Task<Status> note_error(
        StreamId stream, uint64_t number, std::string code, std::string detail
    ) = 0;

    // Bulk load in the open transaction.
    virtual bool accepts(LoadFormat format) const = 0;
    /// Rows to come hold the columns of `schema` that are not generated, in order. Errors:
    /// apply.columns, drivers.value for a column whose binary form differs here.
    virtual Task<Status> begin_copy(model::TableSchema schema, LoadFormat format) = 0;
    /// Any piece of the rows. PgCopyBinary: without the signature and the end mark of a file.
    virtual Task<Status> copy(ByteView rows) = 0;
    /// Rows written. Errors: drivers.* of the row that was refused.
    virtual Task<Result<uint64_t>> end_copy() = 0;
};

/// Opens sessions of one target database.
class TargetDatabase {
public:
    virtual ~TargetDatabase() = default;
    virtual Task<Result<std::unique_ptr<TargetSession>>> connect() = 0;
    virtual std::string display() const = 0;
};

}  // namespace qiao::drivers
