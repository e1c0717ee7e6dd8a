#include "qiao/capture/postgres/internal/source_fixture.h"

#include <memory>

namespace qiao::capture::postgres {
namespace {

using internal::SourceFixture;

/// Several sessions of an application, each with an open transaction and tables of its own, above
/// the memory that the server gives a transaction before it streams it.
class PostgresStreaming : public SourceFixture {
protected:
    static constexpr int kSessions = 3;

    void SetUp() override {
        SourceFixture::SetUp();
        if (HasFatalFailure()) {
            return;
        }
        sql("ALTER DATABASE " + database_name_ + " SET logical_decoding_work_mem = '64kB'");
        sql("CREATE TABLE mark (id int PRIMARY KEY)");
        auto tables = chosen({"mark"});
        for (int i = 0; i < kSessions; ++i) {
            const auto n = std::to_string(i);
            sql("CREATE TABLE k" + n +
                " (id int PRIMARY KEY, v text, w int);"
                "ALTER TABLE k" +
                n +
                " ALTER v SET STORAGE EXTERNAL;"
                "CREATE TABLE w" +
                n + " (a int, b text); ALTER TABLE w" + n + " REPLICA IDENTITY FULL");
            tables.push_back({{"public", "k" + n}, {}});
            tables.push_back({{"public", "w" + n}, {}});
            sessions_.push_back({open(url_), "k" + n, "w" + n});
        }
        options_.binary = random_() % 2 == 0;
        options_.heartbeat_every = std::chrono::milliseconds(50);
        ASSERT_TRUE(set_up(tables));
    }

    void TearDown() override {
        sessions_.clear();
        SourceFixture::TearDown();
    }

    struct Session {
        std::unique_ptr<Connection> connection;
        std::string keyed, whole;
        bool open = false;
        bool altered = false;  ///< in the savepoint
        int next = 0;
    };

    std::string number(int most) { return std::to_string(random_() % static_cast<unsigned>(most)); }

    std::string change(Session& session) {
        const auto& k = session.keyed;
        const auto& w = session.whole;
        switch (random_() % 7) {
            case 0:
            case 1: {
                const auto from = session.next;
                session.next += 50 + static_cast<int>(random_() % 600);
                return "INSERT INTO " + k + " (id, v, w) SELECT g, repeat(md5(g::text), " +
                       (random_() % 4 == 0 ? "80" : "3") + "), 0 FROM generate_series(" +
                       std::to_string(from) + ", " + std::to_string(session.next - 1) + ") g";
            }
            case 2:
                return "UPDATE " + k + " SET w = w + 1 WHERE id % 7 = " + number(7);
            case 3:
                return "DELETE FROM " + k + " WHERE id % 11 = " + number(11);
            case 4:
                return "INSERT INTO " + w +
                       " (a, b) SELECT g % 9, repeat('w', g % 50)"
                       " FROM generate_series(1, " +
                       number(400) + ") g";
            case 5:
                return "UPDATE " + w + " SET a = (a + 1) % 9 WHERE a = " + number(9);
            default:
                return random_() % 10 == 0 ? "TRUNCATE " + w
                                           : "DELETE FROM " + w + " WHERE a = " + number(9);
        }
    }

    void step(Session& session) {
        auto& connection = *session.connection;
        if (!session.open) {
            run(connection, "BEGIN");
            session.open = true;
        }
        switch (random_() % 10) {
            case 0:
            case 1: {  // a savepoint, perhaps with the table altered in it, that is rolled back
                run(connection, "SAVEPOINT s");
                run(connection, change(session));
                if (random_() % 2 == 0) {
                    run(connection, "ALTER TABLE " + session.keyed + " ADD x int DEFAULT 7");
                    run(connection, change(session));
                }
                run(connection, "ROLLBACK TO s");
                break;
            }
            case 2:
                run(connection, "SAVEPOINT t");
                run(connection, change(session));
                run(connection, "RELEASE t");
                break;
            case 3:
                run(connection, random_() % 4 == 0 ? "ROLLBACK" : "COMMIT");
                session.open = false;
                break;
            default:
                run(connection, change(session));
                break;
        }
    }

    void pump_on() {
        if (!pump()) {
            ASSERT_TRUE(start_patiently(sink_.last));
        }
    }

    void end_all() {
        for (auto& session : sessions_) {
            if (session.open) {
                run(*session.connection, "COMMIT");
                session.open = false;
            }
        }
    }

    void expect_equal() {
        for (const auto& session : sessions_) {
            for (const auto& table : {session.keyed, session.whole}) {
                const auto columns = table == session.keyed ? "id, v, w" : "a, b";
                const auto there =
                    "SELECT count(*), md5(string_agg(t::text, E'\\n' ORDER BY "
                    "t::text)) FROM " +
                    table + " t";
                EXPECT_EQ(rows_of(table).size(), std::stoul(value(there))) << table;
                if (!source_->binary()) {
                    EXPECT_EQ(
                        rows_of(table), select(std::string("SELECT ") + columns + " FROM " + table)
                    );
                }
            }
        }
        EXPECT_EQ(sink_.missed, 0U);
    }

    std::multiset<internal::Row> rows_of(const std::string& table) { return rebuilt(table); }

    std::mt19937 random_{20'261'123};
    std::vector<Session> sessions_;
};

// Spec. Source: rules 14
TEST_F(PostgresStreaming, OnlyWhatCommitsCountsOverReconnectsInsideOpenTransactions) {
    options_.binary = false;
    ASSERT_TRUE(start());
    for (int round = 0; round < 60; ++round) {
        for (int i = 0; i < 6; ++i) {
            step(sessions_[random_() % kSessions]);
        }
        switch (random_() % 6) {
            case 0:  // everything but the sink's last commit is forgotten
                close_source();
                ASSERT_TRUE(start_patiently(sink_.last));
                break;
            case 1:  // the server ends the session in the middle
                pump_on();
                end_sessions();
                break;
            case 2:
                source_->confirm(sink_.last);
                break;
            default:
                pump_on();
                break;
        }
        if (random_() % 10 == 0) {
            end_all();
            catch_up();
            expect_equal();
        }
    }
    end_all();
    catch_up();
    expect_equal();
    EXPECT_GT(sink_.streamed_commits, 10U);
    EXPECT_GT(sink_.undone, 10U);
    EXPECT_GT(sink_.commits, sink_.streamed_commits);
}

// What a server has spilled while it read again what was confirmed, it streams once that is behind,
// and then it does not say of a sub-transaction above 4,096 changes that it was rolled back.
// Source: rules 14
TEST_F(PostgresStreaming, ASubTransactionOfWhichTheServerDoesNotSayThatItWasUndoneIsAskedFor) {
    options_.binary = false;
    ASSERT_TRUE(start());
    auto& connection = *sessions_[0].connection;
    run(connection, "BEGIN");
    run(connection, "INSERT INTO k0 SELECT g, 'stays', 0 FROM generate_series(1, 10) g");
    run(connection, "SAVEPOINT s");
    run(connection, "INSERT INTO k0 SELECT g, 'goes', 0 FROM generate_series(11, 9000) g");
    run(connection, "INSERT INTO k1 SELECT g, 'goes', 0 FROM generate_series(1, 9000) g");
    sql("INSERT INTO mark VALUES (1)");
    catch_up();
    source_->confirm(sink_.last);
    pump_on();
    close_source();
    ASSERT_TRUE(start_patiently(sink_.last));
    const auto blocks = sink_.blocks;
    // No more than one block: those behind it are told of.
    for (int tries = 0; sink_.blocks == blocks && tries < 1000; ++tries) {
        run(connection, "UPDATE k0 SET w = w + 1 WHERE id < 40");
        pump_briefly();
    }
    run(connection, "ROLLBACK TO s");
    run(connection, "INSERT INTO k0 VALUES (10000, 'stays', 0)");
    run(connection, "COMMIT");
    // The server takes it for told what this table is.
    sql("INSERT INTO k1 VALUES (10000, 'stays', 0)");
    catch_up();
    expect_equal();
    EXPECT_EQ(rows_of("k0").size(), 11U);
}

// Source: rules 14
TEST_F(PostgresStreaming, BinaryBlocksHoldTheSameRows) {
    options_.binary = true;
    ASSERT_TRUE(start());
    for (int round = 0; round < 60; ++round) {
        step(sessions_[random_() % kSessions]);
        pump_on();
    }
    end_all();
    catch_up();
    expect_equal();
    EXPECT_GT(sink_.blocks, 0U);
}

}  // namespace
}  // namespace qiao::capture::postgres
