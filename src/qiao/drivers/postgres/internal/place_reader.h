#pragma once

#include "qiao/common/async/task.h"
#include "qiao/common/result.h"
#include "qiao/drivers/postgres/connection.h"
#include "qiao/drivers/postgres/internal/row_pipeline.h"

#include <functional>
#include <string>
#include <vector>

namespace qiao::drivers::postgres::internal {

/// Asks the target where rows lie, in the open transaction. A statement that fails is an error of
/// the call, and the transaction is aborted then. Spec: R-24. Source: rules 22
class PlaceReader {
public:
    /// `plan` tells places. All outlive it.
    PlaceReader(Connection& connection, StatementCache& cache, const WritePlan& plan)
        : connection_(connection), cache_(cache), plan_(plan) {}

    /// For each change the digest of its whole old row, by the types of the target.
    Task<Result<std::vector<uint64_t>>> digests(const std::vector<RowStatement>& rows);

    /// Gets one row after the other; false ends the scan.
    using Visit = std::function<bool(const PlacedRow&)>;

    /// All rows of the table, streamed.
    Task<Status> scan(const Visit& visit);
    /// Those of these digests.
    Task<Status> scan_for(const std::vector<uint64_t>& digests, const Visit& visit);

    /// Up to `most` rows that are the old row of this change, locked, so that nobody moves them
    /// any more in this transaction.
    Task<Result<std::vector<Place>>> lock(RowStatement row, size_t most);

    /// Names the files in which the table and its leaves lie; changes with VACUUM FULL, CLUSTER,
    /// TRUNCATE and when leaves come and go.
    Task<Result<std::string>> files();

private:
    Task<Status> digests_of_set(
        std::span<const RowStatement> rows, std::vector<uint64_t>& digests, bool& done
    );
    Task<Status> digests_of_each(
        std::span<const RowStatement> rows, std::vector<uint64_t>& digests
    );
    Task<Status> fetch_all(std::string select, const Visit& visit);

    Connection& connection_;
    StatementCache& cache_;
    const WritePlan& plan_;
};

}  // namespace qiao::drivers::postgres::internal
