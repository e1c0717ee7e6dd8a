#pragma once

#include "qiao/drivers/postgres/connection.h"
#include "qiao/drivers/postgres/internal/row_array.h"
#include "qiao/drivers/postgres/internal/statement_pipeline.h"
#include "qiao/drivers/target_session.h"

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace qiao::drivers::postgres::internal {

/// Sets of changes, one after the other, in one pipeline: inserts and updates as arrays of rows,
/// deletes as arrays of keys. A set ends at the first row that cannot go this way.
class SetWrite {
public:
    SetWrite(Connection& connection, StatementCache& cache) : pipeline_(connection, cache) {}

    /// Whether its first rows can go this way.
    static bool takes(const WritePlan& plan, const TableWrite& write);

    /// Sends rows from the front; gives how many. `plan` and the changes outlive finish().
    Task<Result<size_t>> add(const WritePlan& plan, TableWrite write);

    struct Outcome {
        std::vector<size_t> missed;  ///< of each set added, in order, up to the one that failed
        std::optional<Error> failure;
    };

    /// Waits for the server. An error only when the session is dead.
    Task<Result<Outcome>> finish();

private:
    using Changes = std::span<const model::Change* const>;

    /// What is expected of one statement.
    struct Sent {
        size_t set = 0;
        size_t rows = 0;
        bool may_miss = false;
    };

    Task<Result<size_t>> add_rows(const WritePlan& plan, model::Op op, Changes changes);
    Task<Result<size_t>> add_deletes(const WritePlan& plan, TableWrite write);

    StatementPipeline pipeline_;
    std::vector<Sent> sent_;
    size_t sets_ = 0;
};

}  // namespace qiao::drivers::postgres::internal
