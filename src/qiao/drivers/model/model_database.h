#pragma once

#include "qiao/common/async/executor.h"
#include "qiao/common/clock.h"
#include "qiao/drivers/model/model_table.h"
#include "qiao/drivers/target_session.h"

#include <functional>
#include <memory>
#include <random>
#include <set>

// Not `drivers::model`: inside `drivers` that would hide the vocabulary of `qiao::model`.
namespace qiao::drivers::model_db {

/// What goes wrong by chance, each in a thousandth of the calls that it can strike.
struct Faults {
    uint32_t connect_refused = 0;
    uint32_t lost = 0;            ///< the connection, at any call
    uint32_t serialization = 0;   ///< a write ends the transaction: drivers.serialization
    uint32_t resource = 0;        ///< a write meets a full disk: drivers.resource
    uint32_t commit_unknown = 0;  ///< the reply of a COMMIT is lost, and takes effect or not
    /// How long the backend of a lost connection may go on holding its locks.
    Duration backend_lingers = std::chrono::seconds(2);
};

/// A row that the database refuses to take while the rule stands.
struct Refusal {
    model::TableName table;
    Row row;
    ErrorCode code = ErrorCode::DbValue;
    std::function<bool(const Row&)> meets = {};  ///< instead of `row`
};

struct SavedSchema {
    uint64_t number = 0;  ///< the larger, the later
    model::TableSchema schema;
};

/// Everything that a COMMIT makes visible. Tables are shared between copies until written.
struct State {
    std::map<model::TableName, std::shared_ptr<const ModelTable>> tables;
    std::map<StreamId, CheckpointRow> checkpoints;
    std::map<std::pair<StreamId, model::TableName>, TableState> table_states;
    std::map<std::pair<StreamId, model::SchemaId>, SavedSchema> schemas;
    std::map<StreamId, uint64_t> interventions;
    std::map<uint64_t, std::pair<StreamId, ErrorRow>> errors;  ///< by number
};

/// A target database in memory behind the seam of drivers/target_session.h: transactions with
/// savepoints, keys and foreign keys, checkpoint rows with locks, and faults from a seed. A lost
/// connection leaves its backend behind, which holds its locks for a while and may still commit.
/// For tests and the simulator. Source: rules 30
class ModelDatabase final : public TargetDatabase {
public:
    ModelDatabase(Executor& executor, Clock& clock, uint64_t seed);
    ~ModelDatabase() override;

    Task<Result<std::unique_ptr<TargetSession>>> connect() override;

    std::string display() const override { return "model database"; }

    /// Makes an empty table. Its flags foreign_keys_in/out are set by add_foreign_key().
    void create_table(TargetTable table);
    void add_foreign_key(ForeignKey key);
    /// Changes what the catalogue says of a table, rows stay; as ALTER TABLE does.
    void alter_table(TargetTable table);

    /// Rows as committed, sorted.
    std::vector<Row> rows(const model::TableName& table) const;
    /// Somebody else's work on the target, at once and committed.
    void foreign_insert(const model::TableName& table, Row row);
    void foreign_clear(const model::TableName& table);
    /// One row goes, another one comes; empty: none. False, and nothing happens, while a
    /// transaction has the table, or where the one is not there or the other is in the way.
    bool foreign_change(const model::TableName& table, const Row& gone, const Row& come);
    /// ALTER TABLE by somebody: columns keep the values of those that `names` calls them, others
    /// are NULL. False, and nothing happens, while a transaction has the table.
    bool foreign_alter(TargetTable table, const std::map<std::string, std::string>& names);

    const State& committed() const { return committed_; }

    /// As from a backup: every session ends, and what is committed is this.
    void restore(State state);

    /// The faults from now on; none at the beginning.
    Faults faults;
    std::vector<Refusal> refusals;

    /// Decides the next commits one by one, before chance does.
    enum class CommitFate : uint8_t { Committed, UnknownCommitted, UnknownLost };
    std::vector<CommitFate> next_commits;

    struct Counters {
        uint64_t calls = 0;  ///< of sessions, answered or not
        uint64_t commits = 0;
        uint64_t rows_written = 0;
        uint64_t set_writes = 0;
        uint64_t row_writes = 0;        ///< calls of write() row by row
        uint64_t doubled_keys = 0;      ///< a key twice in one set: the writer's bug
        uint64_t unlocked_commits = 0;  ///< rows committed without the checkpoint's lock
        uint64_t unlocked_writes = 0;   ///< calls of write() before the checkpoint was locked
        uint64_t most_rows_in_commit = 0;
    };

    const Counters& counters() const { return counters_; }

    /// Where the changes of the last transaction that was committed have been.
    const std::string& last_passed() const { return last_passed_; }

private:
    friend class ModelSession;
    struct Backend;

    Status welcomes(const model::TableName& table, const Row& row) const;

    bool strikes(uint32_t per_mille) { return random_() % 1000 < per_mille; }

    /// Ends a transaction: publishes it or not, and lets the next one at its locks.
    void finish(Backend& backend, bool publish);
    /// A backend whose connection went: it ends by itself later.
    void abandon(std::shared_ptr<Backend> backend, bool publish);
    Status check(const State& state, const ForeignKey& key) const;

    Executor& executor_;
    Clock& clock_;
    std::mt19937_64 random_;
    State committed_;
    std::vector<ForeignKey> foreign_keys_;
    std::map<StreamId, Backend*> checkpoint_locks_;
    std::map<model::TableName, Backend*> table_locks_;
    std::vector<std::pair<std::shared_ptr<Backend>, std::unique_ptr<Clock::Timer>>> abandoned_;
    uint64_t life_ = 0;  ///< grows with each restore()
    uint64_t last_error_ = 0;
    uint64_t last_schema_ = 0;
    Counters counters_;
    std::string last_passed_;
};

}  // namespace qiao::drivers::model_db
