#pragma once

#include "qiao/common/async/task.h"
#include "qiao/common/result.h"
#include "qiao/drivers/postgres/internal/place_reader.h"
#include "qiao/drivers/postgres/internal/row_maps.h"
#include "qiao/drivers/postgres/internal/row_pipeline.h"
#include "qiao/drivers/target_session.h"

#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

namespace qiao::drivers::postgres::internal {

/// Whether these changes, each with its whole old row, can be written through a row map: of a table
/// whose rows have places, whose statements may return rows, and with every column known.
bool can_map(const WritePlan& plan, const std::vector<RowStatement>& rows);

/// Writes the changes of one call to a table without a key. Each statement says at which place it
/// expects its old row and compares the whole row there. Places come from the table's row map; what
/// the map does not know, or knows wrongly, is looked for by one scan for all changes of the call,
/// and what is still not there once more by the row itself, under lock, before it is called missed.
/// A row that something moves even then (a trigger) is met by one statement that looks for it.
/// Changes are done in the order given, but for those whose row was not at its place.
/// Spec: R-24. Source: rules 22. docs/adr/0014-row-map.md
class MappedWrite {
public:
    /// All outlive it. The map is built when the table has none.
    MappedWrite(
        Connection& connection, StatementCache& cache, RowJournal& journal, const WritePlan& plan
    );

    /// Updates or deletes. Errors: of a statement that does not belong to one change; the
    /// transaction is aborted then.
    Task<Result<WriteResult>> change(std::vector<RowStatement> rows);

    /// Inserts into a table that has a map, as one statement where they have that form and are
    /// many.
    Task<Result<WriteResult>> insert(std::vector<RowStatement> rows, bool as_set);

private:
    /// Whether there is a map to use.
    bool lease();
    Task<Status> find_or_build();
    Task<Status> build();
    void settle();

    void put(uint64_t digest, const Place& place);
    std::optional<Place> take(uint64_t digest);
    bool contains(uint64_t digest) const;
    void forget(uint64_t digest);

    /// Takes places for changes from the front of the queue, up to the first that has none.
    void gather();
    Task<Result<WriteResult>> run_gathered();
    /// For the front of the queue, which has no place.
    Task<Result<WriteResult>> look();
    Task<Status> scan_for_queue();
    Task<Status> lock_front();
    /// Looks for the front's row and changes it by one statement.
    Task<Result<WriteResult>> run_front();

    Task<Result<bool>> insert_set(std::span<const RowStatement> rows);
    Task<Result<WriteResult>> insert_each(std::span<const RowStatement> rows);

    Connection& connection_;
    StatementCache& cache_;
    RowJournal& journal_;
    WritePlan plan_;
    PlaceReader reader_;
    uint32_t oid_;
    std::string shape_;
    std::shared_ptr<MappedTable> table_;
    RowMap found_;  ///< instead of a map: what scans of this call have found

    std::vector<RowStatement> rows_;
    std::vector<uint64_t> digests_;
    std::deque<size_t> queue_;  ///< changes to do, in order
    std::vector<size_t> gathered_;
    std::vector<Place> places_;  ///< beside gathered_
    WriteResult outcome_;
    bool stale_ = false;    ///< some place of the map was wrong
    bool scanned_ = false;  ///< the table was looked through for the queue
    /// Digests looked for under lock; whether rows were there.
    std::unordered_map<uint64_t, bool> locked_;
};

}  // namespace qiao::drivers::postgres::internal
