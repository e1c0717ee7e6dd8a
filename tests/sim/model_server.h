#pragma once

#include "qiao/capture/postgres/source_database.h"
#include "qiao/common/async/event.h"
#include "qiao/drivers/model/model_table.h"
#include "qiao/testing/manual_world.h"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace qiao::sim {

using capture::postgres::Lsn;
using capture::postgres::SystemIdentity;
using drivers::model_db::Cell;
using drivers::model_db::Row;

/// Types of columns, by the server's numbers.
constexpr uint32_t kText = 25;
constexpr uint32_t kVarchar = 1043;

/// A table of the source. All values are text.
struct ServerTable {
    uint32_t oid = 0;
    model::TableName name;
    std::vector<std::string> columns;
    std::vector<size_t> key;     ///< the primary key's columns, the first of all
    std::optional<size_t> wide;  ///< a column whose long values are not sent when they stay
    char identity = 'd';         ///< replica identity: d or f
    std::vector<uint32_t> types = {};
    std::optional<size_t> unique = {};    ///< a column without equal values
    std::optional<size_t> refers = {};    ///< a column that names a row of another table …
    std::optional<size_t> referred = {};  ///< … which is this one
    std::optional<size_t> child = {};     ///< the table that refers to this one

    bool is_constrained(size_t column) const { return column == unique || column == refers; }

    Row key_of(const Row& row) const;
};

/// What ALTER TABLE can do.
enum class Alteration : uint8_t {
    Add,           ///< a column, NULL in every row
    AddWithValue,  ///< a column with a value in every row, of which the log tells nothing
    Drop,          ///< a column that is not of the key
    Widen,         ///< a column's type
    Rename,        ///< a column that is not of the key
};
constexpr uint64_t kAlterations = 5;

/// One record of the server's log.
struct LogRecord {
    enum class Kind : uint8_t { Insert, Update, Delete, Truncate, Message, Abort, Commit };

    Lsn lsn = 0;
    Kind kind = Kind::Commit;
    uint32_t top = 0;  ///< the transaction
    uint32_t xid = 0;  ///< it, or its sub-transaction
    size_t table = 0;
    std::shared_ptr<const ServerTable> shape;  ///< of the table at this place
    std::shared_ptr<const ServerTable> other;  ///< a table that a truncation took with it
    Row old_row, new_row;
    std::string prefix, content;  ///< of a message
    WallTime at;                  ///< of a commit
};

/// What a commit did to one row; without a row: it went.
struct RowChange {
    size_t table = 0;
    Row key;
    std::optional<Row> row;
    bool truncated = false;  ///< the whole table went, before what follows
};

struct Committed {
    Lsn lsn = 0;
    std::vector<RowChange> changes;
    std::string origin;    ///< the nodes where it has been before
    bool altered = false;  ///< a table, too: of that the log tells no rows
};

/// A replication slot.
struct ServerSlot {
    std::string name;
    Lsn confirmed = 0;
    Lsn on_disk = 0;      ///< what a crash leaves of `confirmed`
    uint64_t holder = 0;  ///< the session that reads it; 0: none
    MonoTime held_until;  ///< a session that was cut off holds it for a while
    std::string invalid;
};

/// A PostgreSQL server in memory as those see it who use it: transactions with savepoints that lock
/// their rows, a log of everything in the order of writing, slots, and the manners of a bad day.
/// What it sends of the log is ModelReplication's. Source: rules 14, 30
class ModelServer {
public:
    ModelServer(testing::ManualWorld& world, uint64_t seed);

    const std::vector<ServerTable>& tables() const { return tables_; }

    /// From the beginning on: names of persons are unique; owners of houses are persons.
    void constrain(bool unique, bool references);

    const SystemIdentity& identity() const { return identity_; }

    // The application.

    /// One statement, savepoint or end of one of several transactions that are open.
    void work();
    /// Ends all that is open; by chance undone.
    void end_transactions();

    size_t open_transactions() const { return open_.size(); }

    /// Some transactions come from elsewhere from now on, and some of them from this node.
    void set_home(std::string node) { home_ = std::move(node); }

    /// Values of more bytes become shorter.
    void shorten(size_t most);

    /// ALTER TABLE in a transaction that also changes rows before and after it, when those that use
    /// the table have ended. `undone`: in a savepoint that is rolled back.
    void alter(size_t table, Alteration what, bool undone);

    uint64_t commits() const { return commits_; }

    // What its clients get.

    const std::deque<LogRecord>& log() const { return log_; }

    Lsn end() const { return next_lsn_; }

    /// The table as of `at`.
    const ServerTable& shape_at(size_t table, Lsn at) const;

    /// Which column of the table this is, whatever it is called now. A name never comes again.
    uint32_t column_number(size_t table, const std::string& name) const;

    /// Of every table the columns that came with a value.
    const std::set<std::pair<size_t, uint32_t>>& filled_columns() const { return filled_; }

    /// Every commit up to `at` and none behind, as rows by table and key.
    using Content = std::vector<std::map<Row, Row>>;
    const Content& content_at(Lsn at);

    const Content& content() const { return committed_; }

    /// Of commits that a target must have, up to `at`.
    uint64_t commits_until(Lsn at) const;

    /// Every commit behind `from` up to `to`.
    std::span<const Committed> commits_between(Lsn from, Lsn to) const;

    /// A transaction of its own with a message.
    void write_message(std::string prefix, std::string content);

    std::map<std::string, ServerSlot> slots;

    /// When the log or a session's life has changed.
    Event& changed() { return changed_; }

    uint32_t next_xid() const { return next_xid_; }

    // Its bad days.

    /// Every session ends.
    void cut_sessions();

    uint64_t sessions_ended() const { return sessions_ended_; }

    /// The machine stops and comes again: open transactions are gone, slots stand where they were
    /// written last.
    void crash();

    /// What a backup of it has.
    struct Image {
        Lsn end = 0;
        uint32_t next_xid = 0;
        std::map<std::string, ServerSlot> slots;
    };

    Image image() const { return {next_lsn_, next_xid_, slots}; }

    /// It is what it was, and goes on from there otherwise than before. `anew`: in a history that
    /// it tells by another name, as after a restore to a point in time.
    void restore(const Image& image, bool anew);

    /// Messages and replies that its clients got.
    uint64_t answers() const { return answers_; }

    /// Messages that its clients wrote into the log.
    uint64_t messages() const { return messages_; }

    void count_answer() { ++answers_; }

    /// In a thousandth: of calls that lose their connection.
    uint32_t lost = 0;

    /// Messages of the log that are to make no sense.
    uint32_t garbled = 0;

    /// One of them was handed out: until it is said by whom it was given to, no session may begin.
    void say_nonsense() { unsaid_ = true; }

    bool unsaid() const { return unsaid_; }

    void hear_said() { unsaid_ = false; }

    void hear_new_session();

    /// What those who use it did wrong.
    const std::string& failure() const { return failure_; }

    void fail(std::string why) { failure_ = failure_.empty() ? std::move(why) : failure_; }

    uint64_t chance() { return random_(); }

    bool strikes(uint32_t per_mille) { return random_() % 1000 < per_mille; }

    testing::ManualWorld& world() { return world_; }

private:
    /// What a transaction sees of a table beside what is committed.
    struct Overlay {
        bool truncated = false;
        std::map<Row, std::optional<Row>> rows;
        bool operator==(const Overlay&) const = default;
    };

    struct Savepoint {
        uint32_t xid = 0;
        std::vector<Overlay> before;
        std::vector<uint32_t> released;  ///< sub-transactions that live and die with it
    };

    struct Transaction {
        uint32_t xid = 0;
        std::vector<Overlay> overlay;
        std::vector<Savepoint> savepoints;
        size_t statements = 0;
        size_t most = 0;  ///< statements before it ends
        std::string origin;
        bool altered = false;
    };

    Transaction& begin();
    void statement(Transaction& transaction);
    void say_origin(Transaction& transaction, std::string path);
    void come_home();
    void reshape(Transaction& transaction, size_t table, Alteration what);
    void end_users_of(size_t table);
    std::string new_name(size_t table, uint32_t number);
    void change(Transaction& transaction, size_t table);
    void truncate(Transaction& transaction, size_t table);
    void set_savepoint(Transaction& transaction);
    void end_savepoint(Transaction& transaction, bool undo);
    void commit(Transaction& transaction);
    void abort(Transaction& transaction);
    void forget(uint32_t xid);

    std::optional<Row> see(const Transaction& transaction, size_t table, const Row& key) const;
    std::map<Row, Row> all_rows(const Transaction& transaction, size_t table) const;
    bool lock(const Transaction& transaction, size_t table, const Row& key);
    bool lock_table(const Transaction& transaction, size_t table);
    /// Whether the keys let a row go (none: it comes) and another come (none: it goes).
    bool allowed(const Transaction& transaction, size_t table, const Row* gone, const Row* come);
    bool is_unique(const Transaction& transaction, size_t table, const Row* gone, const Row* come);
    bool has_cell(const Transaction& transaction, size_t table, size_t column, const Cell& cell)
        const;
    Row random_key(size_t table);
    Row random_row(size_t table, const Row& key);
    LogRecord& write(const Transaction& transaction, LogRecord::Kind kind);

    uint64_t below(uint64_t most) { return random_() % most; }

    testing::ManualWorld& world_;
    std::mt19937_64 random_;
    SystemIdentity identity_{7'000'000'001, 1};
    std::vector<ServerTable> tables_;
    std::vector<std::shared_ptr<const ServerTable>> shapes_;  ///< of tables_, as records hold them
    std::vector<std::vector<std::pair<Lsn, std::shared_ptr<const ServerTable>>>> past_shapes_;
    std::vector<std::map<std::string, uint32_t>> column_numbers_;
    std::set<std::pair<size_t, uint32_t>> filled_;
    std::deque<LogRecord> log_;  ///< whose records stay where they are
    Lsn next_lsn_ = 0x1000;
    uint32_t next_xid_ = 1000;
    std::deque<Transaction> open_;
    std::map<std::pair<size_t, Row>, uint32_t> locks_;
    std::map<size_t, uint32_t> table_locks_;
    Content committed_;
    std::vector<Committed> history_;
    Content past_;  ///< content_at() of last time
    size_t past_commits_ = 0;
    uint64_t commits_ = 0;
    uint64_t answers_ = 0;
    uint64_t messages_ = 0;
    uint64_t sessions_ended_ = 0;
    std::string home_;  ///< empty: nothing comes from elsewhere
    bool unsaid_ = false;
    std::string failure_;
    Event changed_;
};

}  // namespace qiao::sim
