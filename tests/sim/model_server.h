#pragma once

#include "qiao/capture/postgres/source_database.h"
#include "qiao/common/async/event.h"
#include "qiao/drivers/model/model_table.h"
#include "qiao/testing/manual_world.h"

#include <deque>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace qiao::sim {

using capture::postgres::Lsn;
using capture::postgres::SystemIdentity;
using drivers::model_db::Cell;
using drivers::model_db::Row;

/// A table of the source. All values are text.
struct ServerTable {
    uint32_t oid = 0;
    model::TableName name;
    std::vector<std::string> columns;
    std::vector<size_t> key;     ///< the primary key's columns
    std::optional<size_t> wide;  ///< a column whose long values are not sent when they stay
    char identity = 'd';         ///< replica identity: d or f

    Row key_of(const Row& row) const;
};

/// One record of the server's log.
struct LogRecord {
    enum class Kind : uint8_t { Insert, Update, Delete, Truncate, Message, Abort, Commit };

    Lsn lsn = 0;
    Kind kind = Kind::Commit;
    uint32_t top = 0;  ///< the transaction
    uint32_t xid = 0;  ///< it, or its sub-transaction
    size_t table = 0;
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

    const SystemIdentity& identity() const { return identity_; }

    // The application.

    /// One statement, savepoint or end of one of several transactions that are open.
    void work();
    /// Ends all that is open; by chance undone.
    void end_transactions();

    size_t open_transactions() const { return open_.size(); }

    uint64_t commits() const { return commits_; }

    // What its clients get.

    const std::deque<LogRecord>& log() const { return log_; }

    Lsn end() const { return next_lsn_; }

    /// Every commit up to `at` and none behind, as rows by table and key.
    using Content = std::vector<std::map<Row, Row>>;
    const Content& content_at(Lsn at);

    const Content& content() const { return committed_; }

    /// Of commits that a target must have, up to `at`.
    uint64_t commits_until(Lsn at) const;

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

    /// Messages and replies that its clients got.
    uint64_t answers() const { return answers_; }

    /// Messages that its clients wrote into the log.
    uint64_t messages() const { return messages_; }

    void count_answer() { ++answers_; }

    /// In a thousandth: of calls that lose their connection.
    uint32_t lost = 0;

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
    };

    void begin();
    void statement(Transaction& transaction);
    void change(Transaction& transaction, size_t table);
    void truncate(Transaction& transaction, size_t table);
    void set_savepoint(Transaction& transaction);
    void end_savepoint(Transaction& transaction, bool undo);
    void commit(Transaction& transaction);
    void abort(Transaction& transaction);
    void forget(uint32_t xid);

    std::optional<Row> see(const Transaction& transaction, size_t table, const Row& key) const;
    bool lock(const Transaction& transaction, size_t table, const Row& key);
    Row random_key(size_t table);
    Row random_row(size_t table, const Row& key);
    LogRecord& write(const Transaction& transaction, LogRecord::Kind kind);

    uint64_t below(uint64_t most) { return random_() % most; }

    testing::ManualWorld& world_;
    std::mt19937_64 random_;
    SystemIdentity identity_{7'000'000'001, 1};
    std::vector<ServerTable> tables_;
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
    Event changed_;
};

}  // namespace qiao::sim
