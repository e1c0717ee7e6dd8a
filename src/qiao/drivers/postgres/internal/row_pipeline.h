#pragma once

#include "qiao/common/async/task.h"
#include "qiao/common/result.h"
#include "qiao/drivers/postgres/connection.h"
#include "qiao/drivers/postgres/internal/row_statement.h"
#include "qiao/drivers/target_session.h"

#include <deque>
#include <list>
#include <string>
#include <unordered_map>
#include <vector>

namespace qiao::drivers::postgres::internal {

/// A row with its digest and place, as the server tells them.
struct PlacedRow {
    Place place;
    uint64_t digest = 0;
};

/// From the binary forms of tableoid, ctid and the digest.
PlacedRow read_placed_row(std::string_view leaf, std::string_view spot, std::string_view digest);
uint64_t read_big_endian(std::string_view bytes);

/// The prepared statements of one connection, the least used given up past a bound.
class StatementCache {
public:
    /// Its name, if it is prepared; counts as used.
    const std::string* find(const std::string& id);
    /// A new name for what is to be prepared.
    std::string next_name();
    /// Remembers it; gives the name of a statement to deallocate when there are too many.
    std::optional<std::string> keep(std::string id, std::string name);
    void forget(const std::string& id);
    /// Of one table, because its catalogue was read anew. They stay prepared until given up.
    void forget_table(uint32_t oid);

    static std::string id(uint32_t table_oid, model::Op op, const std::string& pattern);

private:
    static constexpr size_t kMost = 400;

    struct Entry {
        std::string id;
        std::string name;
    };

    std::list<Entry> by_use_;  ///< last used first
    std::unordered_map<std::string, std::list<Entry>::iterator> by_id_;
    std::vector<std::string> orphans_;
    uint64_t named_ = 0;
};

/// Sends many prepared statements without waiting between them, in one pipeline with one sync.
/// Source: cdc 5.2 (pipeline mode); reads while it writes, so that neither side can block the
/// other.
class RowPipeline {
public:
    RowPipeline(Connection& connection, StatementCache& cache)
        : connection_(connection), cache_(cache) {}

    /// Runs one statement for each row of a plan, in order. An error only when the session is dead.
    Task<Result<WriteResult>> run(const WritePlan& plan, const std::vector<RowStatement>& rows);

    /// Of a plan that tells places: what run() was told of each row; none where nothing was written
    /// or it was deleted.
    const std::vector<std::optional<PlacedRow>>& told() const { return told_; }

private:
    enum class Kind : uint8_t { Prepare, Deallocate, Row };

    struct Sent {
        Kind kind = Kind::Row;
        size_t row = 0;
        std::string id;
    };

    Status send_all_of(const WritePlan& plan, const RowStatement& row, size_t index);
    Status prepare(const WritePlan& plan, const RowStatement& row, const std::string& id);
    Status execute(const WritePlan& plan, const RowStatement& row, const std::string& name);
    Task<Result<WriteResult>> collect(model::Op op);
    Task<Result<pg_result*>> next();
    void take(pg_result* result, const Sent& sent, model::Op op, WriteResult& result_out);

    Connection& connection_;
    StatementCache& cache_;
    std::deque<Sent> sent_;
    std::vector<std::optional<PlacedRow>> told_;
    size_t bytes_waiting_ = 0;
};

}  // namespace qiao::drivers::postgres::internal
