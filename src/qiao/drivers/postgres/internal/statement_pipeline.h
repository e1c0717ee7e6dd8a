#pragma once

#include "qiao/drivers/postgres/connection.h"
#include "qiao/drivers/postgres/internal/row_pipeline.h"

#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace qiao::drivers::postgres::internal {

/// Statements that are sent one after the other without waiting between them; after the first that
/// fails the server passes over the rest. While the server works on the first ones, the next are
/// put together. Nothing else may be said on the connection between the first add() and finish().
class StatementPipeline {
public:
    StatementPipeline(Connection& connection, StatementCache& cache)
        : connection_(connection), cache_(cache) {}

    struct Value {
        uint32_t type = 0;  ///< OID; 0: the server infers it
        bool null = false;
        bool binary = true;
        ByteView bytes;  ///< must live until add() ends

        static Value of(const Parameter& parameter);
        static std::vector<Value> of(const std::vector<Parameter>& parameters);
    };

    /// Prepared under `id`, unless it is already. Waits only while the server does not take what
    /// was sent before.
    Task<Status> add(std::string id, std::string sql, std::vector<Value> values);

    /// A statement without parameters that is said as it is.
    Task<Status> add(std::string sql);

    struct Outcome {
        std::vector<Rows> results;     ///< of those that succeeded, in order
        std::optional<Error> failure;  ///< of the next one
    };

    /// Waits for all results. An error only when the session is dead.
    Task<Result<Outcome>> finish();

    size_t added() const { return added_; }

private:
    enum class Kind : uint8_t { Prepare, Deallocate, Statement };

    struct Sent {
        Kind kind = Kind::Statement;
        std::string id{};
    };

    Status enter();
    Status prepare(const std::string& id, const std::string& sql, const std::vector<Value>& values);
    Task<Status> make_room(size_t bytes);
    Task<Result<pg_result*>> next();
    void take(pg_result* result, const Sent& sent, Outcome& outcome);

    Connection& connection_;
    StatementCache& cache_;
    bool entered_ = false;
    std::deque<Sent> sent_;
    size_t added_ = 0;
    size_t bytes_waiting_ = 0;
};

}  // namespace qiao::drivers::postgres::internal
