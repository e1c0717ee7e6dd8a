#pragma once

#include "qiao/apply/applier.h"
#include "qiao/common/async/scope.h"
#include "qiao/drivers/model/model_database.h"
#include "qiao/testing/manual_world.h"

#include <map>
#include <random>
#include <set>

// What the tests of this folder share: a source that commits random transactions and knows what
// its tables held after each, and a bench that carries them through an applier.
namespace qiao::apply::history {

using drivers::model_db::ModelDatabase;
using drivers::model_db::Row;
using testing::ManualWorld;

using Tables = std::map<model::TableName, std::vector<Row>>;

model::TableName table(std::string name);

/// A table as both ends have it. The first column is the key unless `identity` is None.
struct Shape {
    model::TableSchema schema;
    drivers::TargetTable target;
};

Shape make_shape(std::string name, std::vector<std::string> columns, std::string key_type);

/// One committed transaction with the memory of its changes.
struct Committed {
    model::TransactionHead head;
    std::shared_ptr<std::deque<Bytes>> rows;
    std::vector<model::Change> changes;
    Tables after;  ///< every table of the source, sorted
};

/// The kinds of tables that apply treats differently, and a random life of them:
/// `plain`, `decimal` (a key whose bytes are not its identity), `contact` (a second unique key),
/// `customer` and `purchase` (a foreign key), `journal` (no key at all).
class History {
public:
    explicit History(uint64_t seed);

    void commit_random(size_t changes_most);
    void commit_many(size_t transactions, size_t changes_most);

    // One change each, into the transaction that commit() ends.
    void insert(const std::string& name, std::vector<std::string> values, bool tolerant = false);
    /// Columns whose new value is `-` are left out as unchanged.
    void update(
        const std::string& name,
        const std::string& old_key,
        std::vector<std::string> values,
        bool tolerant = false
    );
    void erase(const std::string& name, const std::string& key, bool tolerant = false);
    void truncate(std::vector<std::string> names);

    /// Updates and deletes tell the row as it was, as with REPLICA IDENTITY FULL.
    bool whole_old_rows = false;
    void commit();

    const std::vector<Committed>& transactions() const { return transactions_; }

    const std::vector<Shape>& shapes() const { return shapes_; }

    const Shape& shape(const std::string& name) const;

    /// What the tables held at a position of the stream.
    Tables at(const model::SourcePosition& position) const;

    void create_in(ModelDatabase& database, const model::Mapping& names = {}) const;

    /// The stream after a position, cut into fragments by chance, with positions between.
    std::vector<Input> inputs(const model::SourcePosition& after, std::mt19937_64& random) const;

    std::mt19937_64& random() { return random_; }

    bool truncates = true;  ///< among the random changes

private:
    void tell_old_row(model::Change& made, const std::vector<std::string>& row);
    bool random_change();
    bool change_rows(const std::string& name);
    std::vector<std::string> random_row(const std::string& name, const std::string& key);
    bool may_be(
        const std::string& name, const std::vector<std::string>& row, const std::string& old_key
    ) const;
    std::string some_key(const std::string& name);
    model::Tuple tuple(const std::vector<std::string>& values);
    model::Tuple key_tuple(const std::string& name, const std::string& key);
    model::Change& change(const std::string& name, model::Op op);
    void remember();

    std::mt19937_64 random_;
    std::vector<Shape> shapes_;
    std::map<std::string, std::map<std::string, std::vector<std::string>>> now_;
    std::multiset<std::vector<std::string>> journal_;
    Committed open_;
    std::vector<Committed> transactions_;
    uint64_t xid_ = 0;
};

/// Runs appliers of one stream against one database, as an engine would.
class Bench final : public ApplyObserver {
public:
    /// @param names  of the target's tables and columns
    Bench(History& history, uint64_t seed, model::Mapping names = {});

    ModelDatabase& database() { return database_; }

    ManualWorld& world() { return world_; }

    ApplierOptions options;

    /// A new process: opens, feeds what comes after the checkpoint, and runs to the end, or for
    /// `limit` of virtual time. Rewinds as often as asked. How run() ended.
    Status run(std::optional<Duration> limit = std::nullopt);

    /// The target's tables, under the source's names, and what the source had at the target's
    /// checkpoint.
    Tables target() const;
    Tables expected() const;
    model::SourcePosition position() const;

    void applied(const Applied& applied) override;

    void diverged(const drivers::ErrorRow& row) override { diverged_rows.push_back(row); }

    /// What a feeder with habits of its own makes of the inputs.
    std::function<std::vector<Input>(std::vector<Input>)> edit;

    /// Runs beside each applier, until that has come to its end.
    std::function<Task<void>(StopSignal&)> beside;

    std::vector<Applied> reports;
    std::vector<drivers::ErrorRow> diverged_rows;
    ApplyStatus last_status;
    uint64_t rewinds = 0;

private:
    Task<void> feed(Channel<Input>& input, std::vector<Input> inputs, const bool& enough);
    Task<void> run_to_end(Applier& applier, StopSignal& stop, std::optional<Status>& end);
    Task<void> stop_later(Duration limit, TaskScope& scope);
    Status run_once(Applier& applier, const drivers::CheckpointRow& from, TaskScope& scope);

    History& history_;
    ManualWorld world_;
    std::mt19937_64 random_;
    ModelDatabase database_;
};

}  // namespace qiao::apply::history
