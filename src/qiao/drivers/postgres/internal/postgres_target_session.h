#pragma once

#include "qiao/drivers/postgres/connection.h"
#include "qiao/drivers/postgres/internal/row_maps.h"
#include "qiao/drivers/postgres/internal/row_pipeline.h"
#include "qiao/drivers/postgres/internal/set_statement.h"
#include "qiao/drivers/postgres/internal/target_relation.h"
#include "qiao/drivers/postgres/internal/write_plan.h"
#include "qiao/drivers/postgres/target_session.h"
#include "qiao/drivers/target_session.h"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace qiao::drivers::postgres::internal {

/// TargetSession by libpq. The parts lie in target_session.cpp (transactions), target_state.cpp
/// (checkpoint and state), target_write.cpp and target_load.cpp.
class PostgresTargetSession final : public TargetSession {
public:
    PostgresTargetSession(
        std::unique_ptr<Connection> connection,
        const TargetOptions& options,
        std::shared_ptr<RowMaps> row_maps
    )
        : connection_(std::move(connection)), options_(options), journal_(std::move(row_maps)) {}

    Task<Status> prepare() override;
    Task<Result<TargetTable>> describe(model::TableName table) override;
    Task<Result<std::vector<std::string>>> adoption(
        model::TableSchema before, model::TableSchema now
    ) override;
    Task<Result<CheckpointRow>> claim(StreamId stream, Incarnation owner) override;
    Task<Result<std::optional<CheckpointRow>>> checkpoint(StreamId stream) override;
    Task<Result<bool>> is_empty(model::TableName table) override;

    Task<Status> begin(std::string passed) override;
    Task<Result<uint64_t>> lock_checkpoint(StreamId stream, CheckpointRow expected) override;
    Task<Status> intervene(StreamId stream) override;
    Task<Status> advance(StreamId stream, CheckpointRow from, CheckpointRow to) override;
    Task<CommitOutcome> commit() override;
    Task<Result<uint64_t>> begin_locked(std::string passed, StreamId stream, CheckpointRow expected)
        override;
    Task<CommitOutcome> advance_and_commit(StreamId stream, CheckpointRow from, CheckpointRow to)
        override;
    Task<Status> rollback() override;
    Task<Status> savepoint() override;
    Task<Status> rollback_to_savepoint() override;
    Task<Status> release_savepoint() override;

    Task<Result<WriteResult>> write(TableWrite write, WriteMode mode) override;
    Task<Result<std::vector<WriteResult>>> write_sets(NextSets next) override;
    Task<Status> truncate(std::vector<model::TableName> tables, bool restart_identity) override;
    Task<Status> delete_all(model::TableName table) override;
    Task<Result<WriteResult>> check_constraints() override;

    Task<Result<std::vector<TableState>>> table_states(StreamId stream) override;
    Task<Result<std::optional<TableState>>> table_state(StreamId stream, model::TableName table)
        override;
    Task<Status> save_table_state(StreamId stream, TableState state) override;
    Task<Result<std::vector<model::TableSchema>>> schemas(StreamId stream) override;
    Task<Status> save_schema(StreamId stream, model::TableSchema schema) override;
    Task<Status> save_error(StreamId stream, ErrorRow row) override;
    Task<Result<OpenErrors>> open_errors(StreamId stream) override;
    Task<Result<std::vector<ErrorRow>>> read_errors(StreamId stream, ErrorRange range) override;
    Task<Status> drop_errors(StreamId stream, std::vector<uint64_t> numbers) override;
    Task<Result<std::vector<std::vector<std::string>>>> drop_errors(
        StreamId stream, model::TableName table, std::string key
    ) override;
    Task<Status> note_error(StreamId stream, uint64_t number, std::string code, std::string detail)
        override;

    bool accepts(LoadFormat format) const override;
    Task<Status> begin_copy(model::TableSchema schema, LoadFormat format) override;
    Task<Status> copy(ByteView rows) override;
    Task<Result<uint64_t>> end_copy() override;

private:
    /// What is known of a table; read from the catalogue when asked for the first time.
    Task<Result<const TargetRelation*>> relation(model::TableName table);

    std::string origin_mark(const std::string& passed) const;
    Task<CommitOutcome> send_commit();
    Task<CommitOutcome> send_advance_and_commit(
        StreamId stream, CheckpointRow from, CheckpointRow to
    );
    CommitOutcome ended(CommitOutcome outcome);

    /// One of several sets.
    struct PlannedSet {
        TableWrite write;
        std::optional<WritePlan> plan{};
    };

    /// Sets in the order in which they are to be written, as far as they were asked for.
    struct SetQueue {
        NextSets next;
        std::deque<PlannedSet> sets{};
        bool ended = false;

        /// Null: there are no more.
        PlannedSet* find(size_t at);
    };

    Task<Result<WritePlan>> plan_of(const TableWrite& write);
    bool inserts_into_map(const WritePlan& plan, model::Op op);
    bool may_send_set(const PlannedSet& set);
    /// Those that can go in one pipeline; appends their results.
    Task<Status> send_sets(SetQueue& queue, std::vector<WriteResult>& results);
    Task<Result<WriteResult>> write_rest(const PlannedSet& set, size_t written);
    Task<Result<WriteResult>> write_parameters(
        const WritePlan& plan, TableWrite write, WriteMode mode
    );
    Task<Result<WriteResult>> write_rows(const WritePlan& plan, std::vector<RowStatement> rows);
    /// Changes of whole rows, or inserts into a table that has a row map.
    Task<Result<WriteResult>> write_mapped(
        const WritePlan& plan, std::vector<RowStatement> rows, bool as_set
    );
    Task<Result<WriteResult>> write_set(const WritePlan& plan, std::vector<RowStatement> rows);
    Task<Result<WriteResult>> copy_set(
        const WritePlan& plan, const std::vector<RowStatement>& rows
    );
    Task<Result<WriteResult>> unnest_set(
        const WritePlan& plan, const std::vector<RowStatement>& rows
    );
    Task<Status> send_copy(const WritePlan& plan, const std::vector<RowStatement>& rows);

    /// Keeps what is a failed statement apart from a dead session.
    Result<WriteResult> outcome_of(Error error);

    std::unique_ptr<Connection> connection_;
    TargetOptions options_;
    std::map<model::TableName, std::unique_ptr<TargetRelation>> relations_;
    StatementCache statements_;
    RowJournal journal_;
    bool deferred_ = false;  ///< something written in this transaction may be checked at its end
    std::optional<LoadFormat> copying_;
};

}  // namespace qiao::drivers::postgres::internal
