#pragma once

#include "qiao/drivers/model/model_database.h"

namespace qiao::drivers::model_db {

/// One transaction as the server has it; outlives its connection when that is lost.
struct ModelDatabase::Backend {
    /// What a savepoint keeps.
    struct View {
        State state;                        ///< as the transaction sees it
        std::set<model::TableName> tables;  ///< written by it
        std::set<std::pair<StreamId, model::TableName>> table_states;
        std::set<std::pair<StreamId, model::SchemaId>> schemas;
        std::set<uint64_t> errors;
        uint64_t rows = 0;
    };

    View view;
    std::optional<View> saved;
    std::set<StreamId> checkpoints;  ///< locked by it
    bool failed = false;
    std::string passed;  ///< where the transaction's changes have been
};

/// One connection to a ModelDatabase. Every call may fail by the database's faults.
class ModelSession final : public TargetSession {
public:
    explicit ModelSession(ModelDatabase& database) : database_(database), life_(database.life_) {}

    ~ModelSession() override;

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
    Task<Status> rollback() override;
    Task<Status> savepoint() override;
    Task<Status> rollback_to_savepoint() override;
    Task<Status> release_savepoint() override;
    Task<Result<WriteResult>> write(TableWrite write, WriteMode mode) override;
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

    bool accepts(LoadFormat format) const override { return format == LoadFormat::Tuples; }

    Task<Status> begin_copy(model::TableSchema schema, LoadFormat format) override;
    Task<Status> copy(ByteView rows) override;
    Task<Result<uint64_t>> end_copy() override;

private:
    using Backend = ModelDatabase::Backend;

    Status lose();
    /// The faults of any call, and whether a transaction is there to work in.
    Status enter(bool in_transaction);
    Task<Status> lock_table(model::TableName name);
    Task<Status> lock_stream(StreamId stream);
    /// The transaction's own copy of a table it has locked.
    Result<ModelTable*> writable(const model::TableName& name);
    /// The transaction is aborted until it is rolled back.
    Error fail(Error error);
    Status write_one(
        ModelTable& table, const TableWrite& write, const model::Change& change, bool& missed
    );
    Status check_foreign_keys(const model::TableName& written, bool deferred);
    void note_doubled_keys(const TableWrite& write);

    const State& visible() const { return backend_ ? backend_->view.state : database_.committed_; }

    ModelDatabase& database_;
    uint64_t life_;  ///< of the database
    std::shared_ptr<Backend> backend_;
    bool lost_ = false;
    std::optional<model::TableSchema> copying_;
    uint64_t copied_ = 0;
};

}  // namespace qiao::drivers::model_db
