#pragma once

#include "qiao/capture/postgres/postgres_snapshot.h"
#include "qiao/capture/postgres/postgres_source.h"
#include "qiao/capture/postgres/source_setup.h"
#include "qiao/common/async/event_loop.h"
#include "qiao/common/async/sleep.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <random>
#include <set>

namespace qiao::capture::postgres::internal {

using Row = std::vector<std::optional<std::string>>;

/// Rebuilds the tables in memory from what the source delivers; the other half of the oracle.
class RebuildingSink final : public TransactionSink {
public:
    struct Table {
        model::TableSchema schema;
        std::map<Row, Row> by_key;
        std::multiset<Row> rows;  ///< of tables without a key: FULL, or inserts only
    };

    void schema(const model::TableSchema& schema) override {
        schemas_[schema.id()] = schema;
        tables[schema.table.name].schema = schema;
        ++schemas_told;
    }

    void begin(const model::TransactionHead&) override { pending_.clear(); }

    void change(const model::Change& change) override {
        ++changes;
        // Owned copies: the views end with this call.
        auto& into = block_ ? streamed_[*block_] : pending_;
        into.push_back({change, to_bytes(change.old_row.bytes()), to_bytes(change.new_row.bytes())}
        );
    }

    void begin_block(uint64_t xid) override {
        block_ = xid;
        ++blocks;
    }

    void end_block() override { block_.reset(); }

    void undo_ahead(uint64_t xid, uint32_t sub_xid) override {
        ++undone;
        if (sub_xid == 0) {
            streamed_.erase(xid);
            return;
        }
        std::erase_if(streamed_[xid], [sub_xid](const Item& item) {
            return item.change.sub_xid == sub_xid;
        });
    }

    void commit_ahead(const model::TransactionHead& head) override {
        pending_ = std::move(streamed_[head.xid]);
        streamed_.erase(head.xid);
        ++streamed_commits;
        commit(head);
    }

    /// The session has ended.
    void forget_open() {
        streamed_.clear();
        block_.reset();
    }

    void commit(const model::TransactionHead& head) override {
        if (model::compare(head.commit, last) <= 0) {
            ++repeated;
            pending_.clear();
            return;
        }
        last = head.commit;
        last_end = head.end;
        last_xid = head.xid;
        ++commits;
        for (const auto& item : pending_) {
            apply(item);
        }
        pending_.clear();
    }

    void heartbeat(const Heartbeat& beat) override {
        heartbeats.push_back(beat);
        if (model::compare(beat.position, last) > 0) {
            last = beat.position;
        }
    }

    void progress(const model::SourcePosition& position) override { progressed = position; }

    bool full() const override { return is_full; }

    static Row row_of(const model::Tuple& tuple) {
        Row row;
        if (tuple.empty()) {
            return row;
        }
        tuple.for_each([&row](size_t, const model::Value& value) {
            if (value.kind == model::ValueKind::Null) {
                row.emplace_back(std::nullopt);
            } else if (value.kind == model::ValueKind::Unchanged) {
                row.emplace_back("<unchanged>");
            } else {
                row.emplace_back(std::string(as_text(value.bytes)));
            }
        });
        return row;
    }

    std::map<std::string, Table> tables;
    model::SourcePosition last, last_end, progressed;
    uint64_t last_xid = 0;
    std::vector<Heartbeat> heartbeats;
    size_t commits = 0, repeated = 0, changes = 0, missed = 0, schemas_told = 0;
    size_t blocks = 0, undone = 0, streamed_commits = 0;
    bool is_full = false;
    /// Rows of a table from commits before its entry are in its load already.
    std::map<std::string, model::SourcePosition> joined;
    std::map<std::string, size_t> unchanged_seen;

private:
    struct Item {
        model::Change change;
        Bytes old_bytes, new_bytes;
    };

    static Row key_of(const model::TableSchema& schema, const Row& row) {
        Row key;
        for (const auto index : schema.key_columns()) {
            key.push_back(row.at(index));
        }
        return key;
    }

    void truncate(const model::Change& change) {
        auto ids = change.more_tables;
        ids.push_back(change.schema);
        for (const auto& id : ids) {
            auto& table = tables[schemas_.at(id).table.name];
            table.by_key.clear();
            table.rows.clear();
        }
    }

    void apply(const Item& item) {
        const auto& change = item.change;
        const auto& schema = schemas_.at(change.schema);
        const auto join = joined.find(schema.table.name);
        if (join != joined.end() && model::compare(last, join->second) < 0) {
            return;
        }
        if (change.op == model::Op::Truncate) {
            truncate(change);
            return;
        }
        auto& table = tables[schema.table.name];
        const auto old_row =
            item.old_bytes.empty() ? Row() : row_of(*model::Tuple::parse(item.old_bytes));
        auto new_row =
            item.new_bytes.empty() ? Row() : row_of(*model::Tuple::parse(item.new_bytes));
        const bool keyed = schema.identity == model::Identity::PrimaryKey ||
                           schema.identity == model::Identity::Index;
        if (keyed) {
            apply_keyed(table, schema, change, old_row, std::move(new_row));
            return;
        }
        if (change.op != model::Op::Insert) {
            const auto found = table.rows.find(old_row);
            missed += found == table.rows.end() ? 1 : 0;
            if (found != table.rows.end()) {
                table.rows.erase(found);
            }
        }
        if (change.op != model::Op::Delete) {
            table.rows.insert(std::move(new_row));
        }
    }

    void apply_keyed(
        Table& table,
        const model::TableSchema& schema,
        const model::Change& change,
        const Row& old_row,
        Row new_row
    ) {
        if (change.op != model::Op::Insert) {
            const auto key = key_of(schema, old_row.empty() ? new_row : old_row);
            const auto found = table.by_key.find(key);
            if (found == table.by_key.end()) {
                ++missed;
                return;
            }
            for (size_t i = 0; i < new_row.size(); ++i) {
                if (new_row[i] == "<unchanged>") {
                    new_row[i] = found->second[i];
                    ++unchanged_seen[schema.table.name];
                }
            }
            table.by_key.erase(found);
        }
        if (change.op != model::Op::Delete) {
            auto key = key_of(schema, new_row);
            const bool fresh = table.by_key.emplace(std::move(key), std::move(new_row)).second;
            missed += fresh ? 0 : 1;
        }
    }

    std::map<model::SchemaId, model::TableSchema> schemas_;
    std::vector<Item> pending_;
    std::optional<uint64_t> block_;
    std::map<uint64_t, std::vector<Item>> streamed_;
};

/// A database of its own on the test's server, dropped at the end with its slots.
class SourceFixture : public ::testing::Test {
protected:
    using Connection = drivers::postgres::Connection;
    using Runtime = drivers::postgres::Runtime;

    void SetUp() override {
        const char* url = std::getenv("QIAO_PG_0_URL");
        ASSERT_NE(url, nullptr) << "wants QIAO_PG_0_URL; run it by tools/servers.py";
        auto parsed = drivers::DataSourceUrl::parse(url);
        ASSERT_TRUE(parsed) << parsed.error().to_string();
        url_ = *std::move(parsed);
        admin_ = open(url_);
        database_name_ = "qiao_it_" + std::to_string(system_rng().number() % 1'000'000'000);
        run(*admin_, "CREATE DATABASE " + database_name_);
        url_.database = database_name_;
        app_ = open(url_);
        stream_ = system_rng().make_id<StreamId>();
        database_ = make_source_database(runtime(), url_);
    }

    void TearDown() override {
        if (!admin_) {
            return;
        }
        close_source();
        app_.reset();
        const auto busy =
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
            " WHERE active AND database = '" +
            database_name_ + "'";
        (void)loop_.run(admin_->query(busy));
        for (int tries = 0; tries < 100; ++tries) {
            const auto dropped = loop_.run(admin_->query(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                " WHERE NOT temporary AND database = '" +
                database_name_ + "'"
            ));
            if (dropped) {
                break;
            }
        }
        (void)loop_.run(admin_->execute("DROP DATABASE " + database_name_ + " WITH (FORCE)"));
        admin_.reset();
    }

    Runtime runtime() { return {loop_, loop_, loop_}; }

    std::unique_ptr<Connection> open(const drivers::DataSourceUrl& url) {
        drivers::postgres::ConnectOptions options;
        options.settings = {
            {"datestyle", "ISO"},
            {"timezone", "UTC"},
            {"bytea_output", "hex"},
            {"intervalstyle", "postgres"},
            {"extra_float_digits", "3"}
        };
        auto opened = loop_.run(Connection::open(runtime(), url, options, stop_));
        EXPECT_TRUE(opened) << opened.error().to_string();
        return opened ? *std::move(opened) : nullptr;
    }

    Status try_run(Connection& connection, std::string sql) {
        return loop_.run(connection.execute(std::move(sql)));
    }

    void run(Connection& connection, const std::string& sql) {
        const auto done = try_run(connection, sql);
        ASSERT_TRUE(done) << sql << ": " << done.error().to_string();
    }

    void sql(const std::string& text) { run(*app_, text); }

    /// Those of replication; other databases of the server are other tests'.
    void end_sessions() {
        sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
            " WHERE active AND database = current_database()");
    }

    std::string value(const std::string& text) {
        const auto rows = loop_.run(app_->query(text));
        EXPECT_TRUE(rows) << text << ": " << rows.error().to_string();
        return rows && rows->size() > 0 ? std::string(rows->text(0, 0)) : "";
    }

    std::multiset<Row> select(const std::string& text) {
        std::multiset<Row> result;
        const auto rows = loop_.run(app_->query(text));
        EXPECT_TRUE(rows) << text << ": " << rows.error().to_string();
        for (size_t i = 0; rows && i < rows->size(); ++i) {
            Row row;
            for (size_t c = 0; c < rows->column_count(); ++c) {
                row.push_back(
                    rows->is_null(i, c) ? std::nullopt
                                        : std::optional(std::string(rows->text(i, c)))
                );
            }
            result.insert(std::move(row));
        }
        return result;
    }

    std::multiset<Row> rebuilt(const std::string& table) {
        auto rows = sink_.tables[table].rows;
        for (const auto& [key, row] : sink_.tables[table].by_key) {
            rows.insert(row);
        }
        return rows;
    }

    static std::vector<ChosenTable> chosen(std::initializer_list<const char*> names) {
        std::vector<ChosenTable> tables;
        for (const auto* name : names) {
            tables.push_back({{"public", name}, {}});
        }
        return tables;
    }

    Result<SetupReport> set_up(std::vector<ChosenTable> tables) {
        options_.stream = stream_;
        options_.tables = tables;
        return loop_.run(set_up_source(*app_, stream_, std::move(tables)));
    }

    Status start(model::SourcePosition from = {}) {
        if (!source_) {
            source_ = std::make_unique<PostgresStreamingSource>(
                options_, *database_, loop_, loop_, system_rng(), stop_
            );
        }
        sink_.forget_open();
        return loop_.run(source_->start(std::move(from)));
    }

    /// As a caller does: transient errors are tried again, for a while.
    Status start_patiently(const model::SourcePosition& from) {
        auto started = start(from);
        for (int tries = 0; !started && started.error().transient() && tries < 200; ++tries) {
            (void)loop_.run(pause(std::chrono::milliseconds(20)));
            started = start(from);
        }
        return started;
    }

    void close_source() {
        if (source_) {
            loop_.run(source_->close());
            source_.reset();
        }
    }

    Task<Status> pause(Duration duration) {
        co_return co_await sleep_for(loop_, loop_, duration, stop_);
    }

    Status pump() { return loop_.run(source_->pump(sink_, stop_)); }

    /// For a while, whether something comes or not.
    void pump_briefly() {
        StopSignal enough;
        const auto timer = loop_.make_timer();
        timer->start(loop_.now() + std::chrono::milliseconds(100), [&enough] { enough.request(); });
        const auto pumped = loop_.run(source_->pump(sink_, enough));
        EXPECT_TRUE(pumped || pumped.error().is(ErrorCode::Cancelled))
            << pumped.error().to_string();
    }

    /// From where on the server keeps its log for the stream.
    Lsn kept_from() {
        const auto told = parse_lsn(value(
            "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '" +
            slot_name(stream_) + "'"
        ));
        EXPECT_TRUE(told);
        return told ? *told : 0;
    }

    /// Confirms what came until the server has taken note; the deadline only ends a hang.
    void confirm_until_kept_from(Lsn wanted) {
        const auto deadline = loop_.now() + std::chrono::seconds(60);
        while (kept_from() < wanted) {
            ASSERT_LT(loop_.now(), deadline) << "the slot stays behind";
            source_->confirm(sink_.last);
            pump_briefly();
        }
    }

    /// Writes a mark and takes what comes until it is there; the deadline only ends a hang.
    void catch_up() {
        ++mark_;
        sql("INSERT INTO mark VALUES (" + std::to_string(mark_) + ")");
        const Row key{std::to_string(mark_)};
        const auto deadline = loop_.now() + std::chrono::seconds(60);
        while (!has_mark()) {
            ASSERT_LT(loop_.now(), deadline) << "the mark did not come";
            const auto pumped = pump();
            if (!pumped) {
                ASSERT_TRUE(pumped.error().transient()) << pumped.error().to_string();
                const auto started = start_patiently(sink_.last);
                ASSERT_TRUE(started) << started.error().to_string();
            }
        }
    }

    bool has_mark() {
        const auto wanted = std::to_string(mark_);
        for (const auto& [key, row] : sink_.tables["mark"].by_key) {
            const auto& text = *key[0];
            // Four bytes big-endian when the session is binary.
            if (text == wanted || (text.size() == 4 && binary_number(text) == mark_)) {
                return true;
            }
        }
        return false;
    }

    static int binary_number(const std::string& bytes) {
        int value = 0;
        for (const char byte : bytes) {
            value = value * 256 + static_cast<unsigned char>(byte);
        }
        return value;
    }

    EventLoop loop_;
    StopSignal stop_;
    drivers::DataSourceUrl url_;
    std::string database_name_;
    std::unique_ptr<Connection> admin_, app_;
    std::unique_ptr<SourceDatabase> database_;
    std::unique_ptr<PostgresStreamingSource> source_;
    PostgresSourceOptions options_;
    RebuildingSink sink_;
    StreamId stream_;
    int mark_ = 100;
};

}  // namespace qiao::capture::postgres::internal
