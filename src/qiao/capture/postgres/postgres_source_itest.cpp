#include "qiao/capture/postgres/internal/big_endian.h"
#include "qiao/capture/postgres/internal/source_fixture.h"
#include "qiao/capture/postgres/source_check.h"

namespace qiao::capture::postgres {
namespace {

class PostgresSource : public internal::SourceFixture {
protected:
    void make_tables() {
        sql("CREATE TABLE mark (id int PRIMARY KEY);"
            "CREATE TABLE plain (id int PRIMARY KEY, a text, n numeric, ts timestamptz, b bytea,"
            " f float8, j jsonb);"
            "CREATE TABLE pair (k1 int, k2 text, v text, PRIMARY KEY (k1, k2));"
            "CREATE TABLE toast (id int PRIMARY KEY, big text, small int);"
            "ALTER TABLE toast ALTER big SET STORAGE EXTERNAL;"
            "CREATE TABLE whole (a int, big text, id bigserial PRIMARY KEY);"
            "ALTER TABLE whole ALTER big SET STORAGE EXTERNAL;"
            "ALTER TABLE whole REPLICA IDENTITY FULL;"
            "CREATE TABLE byindex (x int NOT NULL, y text); CREATE UNIQUE INDEX byindex_x ON "
            "byindex"
            " (x); ALTER TABLE byindex REPLICA IDENTITY USING INDEX byindex_x;"
            "CREATE TABLE part (id int, region int, v text, PRIMARY KEY (id, region))"
            " PARTITION BY LIST (region);"
            "CREATE TABLE part1 PARTITION OF part FOR VALUES IN (1);"
            "CREATE TABLE part2 PARTITION OF part FOR VALUES IN (2);"
            "CREATE TABLE partd (v text, region int NOT NULL, id int NOT NULL);"
            "ALTER TABLE part ATTACH PARTITION partd DEFAULT;"
            "CREATE TABLE keyless (a int, b text);"
            "CREATE TABLE bare (a int, b text); ALTER TABLE bare REPLICA IDENTITY FULL");
    }

    static std::vector<ChosenTable> all_tables() {
        return chosen(
            {"mark", "plain", "pair", "toast", "whole", "byindex", "part", "keyless", "bare"}
        );
    }

    std::string number(int most) {
        return std::to_string(1 + static_cast<int>(random_() % static_cast<unsigned>(most)));
    }

    std::string word() {
        static const char* const words[] = {
            "'a'", "'北京市'", "''", "NULL", "'tab\tand\\slash'", "'O''Brien'"
        };
        return words[random_() % 6];
    }

    std::string big() {
        return "(SELECT string_agg(md5((g * " + number(1000) +
               ")::text), '') FROM generate_series(1, 150) g)";
    }

    std::string statement() {
        switch (random_() % 20) {
            case 0:
            case 1:
                return "INSERT INTO plain VALUES (" + number(60) + ", " + word() + ", " +
                       number(9) +
                       " / 7.0, now(), '\\x00ff', random(), '{\"k\": [1, null]}') ON CONFLICT DO "
                       "NOTHING";
            case 2:
                return "UPDATE plain SET a = " + word() +
                       ", f = random() WHERE id % 7 = " + number(7) + " - 1";
            case 3:
                return "UPDATE plain SET id = id + 1000 WHERE id = " + number(60) +
                       " AND NOT EXISTS (SELECT FROM plain p WHERE p.id = plain.id + 1000)";
            case 4:
                return "DELETE FROM plain WHERE id = " + number(1060);
            case 5:
                return "INSERT INTO pair VALUES (" + number(9) + ", " + number(9) + "::text, " +
                       word() + ") ON CONFLICT (k1, k2) DO UPDATE SET v = excluded.v";
            case 6:
                return "UPDATE pair SET k2 = k2 || 'x' WHERE k1 = " + number(9) +
                       " AND length(k2) < 5"
                       " AND NOT EXISTS (SELECT FROM pair p WHERE p.k1 = pair.k1 AND p.k2 = "
                       "pair.k2 || 'x')";
            case 7:
                return "INSERT INTO toast VALUES (" + number(20) + ", " + big() +
                       ", 1) ON CONFLICT DO NOTHING";
            case 8:
                return "UPDATE toast SET small = small + 1 WHERE id <= " + number(20);
            case 9:
                return "INSERT INTO whole VALUES (" + number(5) + ", " +
                       (random_() % 2 ? big() : word()) + ")";
            case 10:
                return "UPDATE whole SET a = a + 1 WHERE a = " + number(5);
            case 11:
                return "DELETE FROM whole WHERE ctid IN (SELECT ctid FROM whole WHERE a = " +
                       number(9) + " LIMIT 1)";
            case 12:
                return "INSERT INTO byindex VALUES (" + number(30) + ", " + word() +
                       ") ON CONFLICT (x) DO UPDATE SET x = byindex.x + 100";
            case 13:
                return "INSERT INTO part VALUES (" + number(30) + ", " + number(4) + ", " + word() +
                       ") ON CONFLICT DO NOTHING";
            case 14:
                return "UPDATE part SET region = 1 + region % 4 WHERE id = " + number(30) +
                       " AND NOT EXISTS (SELECT FROM part p WHERE p.id = part.id AND p.region = 1 "
                       "+ part.region % 4)";
            case 15:
                return "INSERT INTO keyless VALUES (" + number(9) + ", " + word() + ")";
            case 16:
                return "INSERT INTO bare VALUES (" + number(3) + ", " + word() + ")";
            case 17:
                return "UPDATE bare SET a = a % 3 + 1 WHERE a = " + number(3);
            case 18:
                return "DELETE FROM bare WHERE ctid IN (SELECT ctid FROM bare LIMIT 1)";
            default:
                return random_() % 8 == 0 ? "TRUNCATE plain, pair"
                                          : "UPDATE keyless SET b = b || 'x'";
        }
    }

    /// One transaction: statements, savepoints, sometimes undone in part or whole. A statement that
    /// fails (a key met twice) is undone alone.
    void transact() {
        sql("BEGIN");
        const auto count = random_() % 6;
        for (unsigned i = 0; i < count; ++i) {
            sql("SAVEPOINT s");
            const auto done = try_run(*app_, statement());
            const bool undo = !done || random_() % 5 == 0;
            sql(undo ? "ROLLBACK TO s" : "RELEASE s");
        }
        sql(random_() % 6 == 0 ? "ROLLBACK" : "COMMIT");
    }

    /// The server may need a moment to see that the session has ended.
    void drop_own_slot() {
        auto dropped = loop_.run(drop_slot(*app_, slot_name(stream_)));
        for (int i = 0; i < 200 && !dropped && dropped.error().transient(); ++i) {
            (void)loop_.run(pause(std::chrono::milliseconds(20)));
            dropped = loop_.run(drop_slot(*app_, slot_name(stream_)));
        }
        ASSERT_TRUE(dropped) << dropped.error().to_string();
    }

    void expect_equal() {
        for (const auto* table : {"plain", "pair", "toast", "whole", "byindex", "bare"}) {
            EXPECT_EQ(rebuilt(table), select(std::string("SELECT * FROM ") + table)) << table;
        }
        EXPECT_EQ(rebuilt("part"), select("SELECT id, region, v FROM part"));
        EXPECT_EQ(sink_.missed, 0U);
    }

    std::mt19937 random_{20'261'122};
};

// Spec
TEST_F(PostgresSource, RebuildsTheSourceExactlyThroughRestartsAtAnyPlace) {
    make_tables();
    options_.binary = false;
    options_.heartbeat_every = std::chrono::milliseconds(50);
    const auto report = set_up(all_tables());
    ASSERT_TRUE(report) << report.error().to_string();
    EXPECT_TRUE(report->slot_made);
    ASSERT_EQ(report->without_identity.size(), 1U);
    EXPECT_EQ(report->without_identity[0].name, "keyless");
    ASSERT_TRUE(start());
    for (int round = 0; round < 40; ++round) {
        for (int i = 0; i < 12; ++i) {
            transact();
        }
        switch (random_() % 4) {
            case 0:  // the agent is killed: everything but the sink's last commit is forgotten
                close_source();
                ASSERT_TRUE(start_patiently(sink_.last));
                break;
            case 1:  // the server ends the session in the middle
                if (random_() % 2 == 0) {
                    (void)pump();
                }
                end_sessions();
                break;
            case 2:
                source_->confirm(sink_.last);
                break;
            default:
                break;
        }
        if (random_() % 3 == 0) {
            catch_up();
            expect_equal();
        }
    }
    catch_up();
    expect_equal();
    EXPECT_GT(sink_.unchanged_seen["toast"], 0U);
    EXPECT_EQ(sink_.unchanged_seen["whole"], 0U) << "a full old row fills what was left out";
    EXPECT_GT(sink_.tables["keyless"].rows.size(), 0U);
    EXPECT_GT(sink_.heartbeats.size(), 0U);
}

TEST_F(PostgresSource, BinaryValuesAreThoseOfABinaryLoad) {
    make_tables();
    ASSERT_TRUE(set_up(all_tables()));
    ASSERT_TRUE(start());
    EXPECT_TRUE(source_->binary());
    for (int i = 0; i < 150; ++i) {
        transact();
    }
    catch_up();
    EXPECT_EQ(sink_.missed, 0U);
    PostgresSnapshotOptions load;
    load.stream = stream_;
    PostgresSnapshotSource snapshots(runtime(), url_, load, system_rng());
    const std::vector<model::TableName> names{{"public", "plain"}, {"public", "toast"}};
    auto session = loop_.run(snapshots.open(names, stop_));
    ASSERT_TRUE(session) << session.error().to_string();
    for (const auto& part : (*session)->parts()) {
        EXPECT_EQ((*session)->format(part), drivers::LoadFormat::PgCopyBinary);
        const auto& table = part.schema.table.name;
        EXPECT_EQ(part.schema, sink_.tables[table].schema) << "load and stream tell one schema";
        auto reader = loop_.run((*session)->read(part, 1000));
        ASSERT_TRUE(reader) << reader.error().to_string();
        std::multiset<internal::Row> rows;
        bool last = false;
        while (!last) {
            const auto chunk = loop_.run((*reader)->next(stop_));
            ASSERT_TRUE(chunk) << chunk.error().to_string();
            last = chunk->last;
            ByteReader in(chunk->rows);
            for (uint64_t i = 0; i < chunk->row_count; ++i) {
                internal::Row row(internal::big_endian<uint16_t>(in));
                for (auto& field : row) {
                    const auto length = internal::big_endian<uint32_t>(in);
                    if (length != 0xFFFFFFFF) {
                        field = std::string(as_text(in.take(length)));
                    }
                }
                rows.insert(std::move(row));
            }
            EXPECT_TRUE(in.ok() && in.at_end());
        }
        EXPECT_EQ(rows, rebuilt(table)) << table;
    }
}

TEST_F(PostgresSource, StartsAgainAsTextWhenATableGetsATypeOfTheUsers) {
    make_tables();
    ASSERT_TRUE(set_up(all_tables()));
    ASSERT_TRUE(start());
    EXPECT_TRUE(source_->binary());
    sql("INSERT INTO pair VALUES (1, 'a', 'before')");
    sql("CREATE TYPE mood AS ENUM ('sad', 'glad'); ALTER TABLE pair ADD m mood DEFAULT 'glad';"
        "ALTER TABLE pair ADD ms mood[] DEFAULT '{sad}'");
    sql("INSERT INTO pair VALUES (2, 'b', 'after')");
    catch_up();
    EXPECT_FALSE(source_->binary());
    const auto& schema = sink_.tables["pair"].schema;
    ASSERT_EQ(schema.columns.size(), 5U);
    EXPECT_EQ(schema.columns[3].type, "public.mood");
    EXPECT_EQ(schema.columns[4].type, "public._mood");
    const auto rows = rebuilt("pair");
    const internal::Row after{"2", "b", "after", "glad", "{sad}"};
    EXPECT_TRUE(rows.contains(after));
}

TEST_F(PostgresSource, ColumnsThatWereNotChosenNeverLeaveTheSource) {
    sql("CREATE TABLE mark (id int PRIMARY KEY);"
        "CREATE TABLE person (id int PRIMARY KEY, secret text, name text)");
    auto tables = chosen({"mark", "person"});
    tables[1].columns = {"id", "name"};
    ASSERT_TRUE(set_up(tables));
    ASSERT_TRUE(start());
    sql("INSERT INTO person VALUES (1, 'hidden', 'Ann'); UPDATE person SET id = 2;"
        "INSERT INTO person VALUES (3, 'hidden', 'Bob'); DELETE FROM person WHERE id = 3");
    catch_up();
    const auto& schema = sink_.tables["person"].schema;
    ASSERT_EQ(schema.columns.size(), 2U);
    EXPECT_EQ(schema.columns[1].name, "name");
    EXPECT_EQ(schema.columns[0].type, "pg_catalog.int4");
    const internal::Row row{std::string("\0\0\0\2", 4), "Ann"};
    EXPECT_EQ(rebuilt("person"), (std::multiset<internal::Row>{row}));
    tables[1].columns = {"name"};
    const auto refused = set_up(tables);
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error().is(ErrorCode::CaptureTable));
}

// Source: rules 1
TEST_F(PostgresSource, GoesOnByATransactionThatItSeesAgainAndTellsAnotherHistory) {
    make_tables();
    options_.heartbeat = false;
    ASSERT_TRUE(set_up(all_tables()));
    ASSERT_TRUE(start());
    for (int i = 0; i < 20; ++i) {
        sql("INSERT INTO pair VALUES (" + std::to_string(i) + ", 'a', 'x')");
    }
    catch_up();
    const auto anchor = anchor_of(sink_.last);
    ASSERT_TRUE(anchor);
    EXPECT_EQ(anchor->commit, lsn_of(sink_.last));
    confirm_until_kept_from(anchor->commit);
    EXPECT_EQ(kept_from(), anchor->commit);
    close_source();

    const auto good = sink_.last;
    for (const auto& forged :
         {Anchor{anchor->commit, anchor->check + 1}, Anchor{anchor->commit + 1, anchor->check}}) {
        auto from = good;
        from.order.back() |= std::byte{1};
        const auto started = start_patiently(with_anchor(std::move(from), forged));
        ASSERT_FALSE(started);
        EXPECT_TRUE(started.error().is(ErrorCode::CaptureIdentity)) << started.error().to_string();
    }
    sql("INSERT INTO pair VALUES (100, 'a', 'x')");
    ASSERT_TRUE(start_patiently(good));
    catch_up();
    EXPECT_EQ(sink_.repeated, 0U);
    EXPECT_EQ(rebuilt("pair").size(), 21U);
}

// Source: rules 11
TEST_F(PostgresSource, NoStatementOfTheApplicationFailsWhateverTheTablesKey) {
    make_tables();
    sql("CREATE TABLE noident (a int PRIMARY KEY, b int); ALTER TABLE noident REPLICA IDENTITY "
        "NOTHING;"
        "CREATE TABLE lazy (a int PRIMARY KEY DEFERRABLE, b int);"
        "CREATE TABLE gen (a int GENERATED ALWAYS AS (b * 2) STORED PRIMARY KEY, b int);"
        "CREATE TABLE rootfull (a int, b int) PARTITION BY LIST (b);"
        "CREATE TABLE rootfull1 PARTITION OF rootfull DEFAULT;"
        "ALTER TABLE rootfull REPLICA IDENTITY FULL;"
        "CREATE TABLE keyfull (a int, b int); ALTER TABLE keyfull REPLICA IDENTITY FULL");
    auto tables = all_tables();
    for (const auto* name : {"noident", "lazy", "gen", "rootfull", "keyfull"}) {
        tables.push_back({{"public", name}, {}});
    }
    const auto report = set_up(tables);
    ASSERT_TRUE(report) << report.error().to_string();
    EXPECT_EQ(report->without_identity.size(), 5U);
    ASSERT_TRUE(start());
    sql("INSERT INTO keyless VALUES (1, 'x'); INSERT INTO noident VALUES (1, 1);"
        "INSERT INTO lazy VALUES (1, 1); INSERT INTO gen (b) VALUES (1);"
        "INSERT INTO rootfull VALUES (1, 1)");
    for (const auto* table :
         {"keyless",
          "noident",
          "lazy",
          "gen",
          "rootfull",
          "keyfull",
          "plain",
          "part",
          "whole",
          "bare"}) {
        const std::string name = table;
        const std::string column = name == "keyless" ? "b"
                                   : name == "plain" ? "a"
                                   : name == "part"  ? "v"
                                   : name == "whole" ? "big"
                                                     : "b";
        sql("UPDATE " + name + " SET " + column + " = " + column);
        sql("DELETE FROM " + name);
        sql("TRUNCATE " + name);
    }
    catch_up();
    EXPECT_EQ(rebuilt("keyless").size(), 0U) << "truncated";
}

// Source: rules 11
TEST_F(PostgresSource, ATableThatLosesItsKeyIsWithdrawnAtTheNextHeartbeat) {
    make_tables();
    options_.heartbeat_every = std::chrono::milliseconds(50);
    ASSERT_TRUE(set_up(all_tables()));
    ASSERT_TRUE(start());
    sql("INSERT INTO pair VALUES (1, 'a', 'v')");
    sql("ALTER TABLE pair DROP CONSTRAINT pair_pkey");
    bool withdrawn = false;
    for (int i = 0; i < 1000 && !withdrawn; ++i) {
        ASSERT_TRUE(pump());
        for (const auto& beat : sink_.heartbeats) {
            for (const auto& notice : beat.notices) {
                withdrawn = withdrawn || (notice.kind == TableNotice::Kind::Withdrawn &&
                                          notice.table.name == "pair");
            }
        }
    }
    EXPECT_TRUE(withdrawn);
    sql("UPDATE pair SET v = 'w'");
    sql("DELETE FROM pair");
}

// Spec: R-12
TEST_F(PostgresSource, AnIdleDatabaseDoesNotHoldItsLog) {
    make_tables();
    sql("CREATE TABLE other (a int)");
    options_.heartbeat_every = std::chrono::milliseconds(50);
    for (const bool written : {true, false}) {
        options_.heartbeat = written;
        ASSERT_TRUE(set_up(all_tables()));
        ASSERT_TRUE(start_patiently(sink_.last));
        // Without heartbeats a segment's length is held for the anchor.
        sql("INSERT INTO other SELECT generate_series(1, " +
            std::string(written ? "10000" : "400000") + ")");
        const auto wanted = *parse_lsn(value("SELECT pg_current_wal_insert_lsn()"));
        confirm_until_kept_from(wanted);
        // What was confirmed is known to the sink: a start from there is never refused.
        close_source();
        const auto again = start_patiently(sink_.last);
        ASSERT_TRUE(again) << again.error().to_string();
        close_source();
    }
}

// Source: rules 15
TEST_F(PostgresSource, StaysAliveWhileTheSinkIsFullForLongerThanTheTimeout) {
    make_tables();
    sql("ALTER DATABASE " + database_name_ + " SET wal_sender_timeout = '2s'");
    options_.heartbeat = false;
    ASSERT_TRUE(set_up(all_tables()));
    ASSERT_TRUE(start());
    const auto pid =
        value("SELECT active_pid FROM pg_replication_slots WHERE database = current_database()");
    sql("INSERT INTO whole SELECT g, repeat('x', 1000) FROM generate_series(1, 50000) g");
    sink_.is_full = true;
    const auto until = loop_.now() + std::chrono::seconds(6);
    while (loop_.now() < until) {
        ASSERT_TRUE(pump());
        (void)loop_.run(pause(std::chrono::milliseconds(100)));
    }
    sink_.is_full = false;
    catch_up();
    EXPECT_EQ(rebuilt("whole").size(), 50'000U);
    EXPECT_EQ(
        value("SELECT active_pid FROM pg_replication_slots WHERE database = current_database()"),
        pid
    ) << "the first session is still the one";
}

TEST_F(PostgresSource, RefusesAPlaceBehindTheSlotAndForeignHistories) {
    make_tables();
    ASSERT_TRUE(set_up(all_tables()));
    ASSERT_TRUE(start());
    catch_up();
    const auto early = sink_.last;
    catch_up();
    confirm_until_kept_from(*lsn_of(sink_.last));
    close_source();
    const auto refused = start_patiently(early);
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error().is(ErrorCode::CapturePositionLost)) << refused.error().to_string();
    const auto foreign = start_patiently(SystemIdentity{1, 1}.at(1ULL << 60U));
    ASSERT_FALSE(foreign);
    EXPECT_TRUE(foreign.error().is(ErrorCode::CaptureIdentity)) << foreign.error().to_string();
    ASSERT_TRUE(start_patiently(sink_.last));
    catch_up();
    close_source();
    drop_own_slot();
    const auto missing = start_patiently(sink_.last);
    ASSERT_FALSE(missing);
    EXPECT_TRUE(missing.error().is(ErrorCode::CaptureSlotMissing));
}

TEST_F(PostgresSource, ASecondReaderOfTheSlotIsTold) {
    make_tables();
    ASSERT_TRUE(set_up(all_tables()));
    ASSERT_TRUE(start());
    PostgresStreamingSource second(options_, *database_, loop_, loop_, system_rng(), stop_);
    const auto refused = loop_.run(second.start({}));
    loop_.run(second.close());
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error().is(ErrorCode::CaptureSlotBusy)) << refused.error().to_string();
}

TEST_F(PostgresSource, ASlotOfAnotherDatabaseIsNotTakenForOurs) {
    make_tables();
    auto elsewhere = url_;
    elsewhere.database = "postgres";
    const auto other = loop_.run(connect_catalogue(runtime(), elsewhere, stop_));
    ASSERT_TRUE(other);
    ASSERT_TRUE(loop_.run(create_slot(**other, slot_name(stream_))));
    const auto refused = set_up(all_tables());
    EXPECT_TRUE(loop_.run(drop_slot(**other, slot_name(stream_))));
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error().is(ErrorCode::CaptureIdentity)) << refused.error().to_string();
}

// Source: rules 16
TEST_F(PostgresSource, TransactionsThatHavePassedUsAreDropped) {
    make_tables();
    options_.own_origins = {"node-a"};
    ASSERT_TRUE(set_up(all_tables()));
    ASSERT_TRUE(start());
    sql("BEGIN; SELECT pg_logical_emit_message(true, 'qiao.origin', 'node-z,node-a');"
        "INSERT INTO pair VALUES (1, 'loop', ''); COMMIT");
    sql("BEGIN; SELECT pg_logical_emit_message(true, 'qiao.origin', 'node-z,node-ab');"
        "INSERT INTO pair VALUES (2, 'fine', ''); COMMIT");
    catch_up();
    EXPECT_EQ(rebuilt("pair").size(), 1U);
    EXPECT_EQ(source_->looped(), 1U);
}

// Spec: R-12
TEST_F(PostgresSource, CleaningUpLeavesTheCatalogueAsItWas) {
    make_tables();
    const auto state = [this] {
        return select(
            "SELECT slot_name::text FROM pg_replication_slots WHERE database = current_database()"
            " UNION ALL SELECT pubname::text FROM pg_publication"
        );
    };
    const auto before = state();
    ASSERT_TRUE(set_up(all_tables()));
    EXPECT_EQ(state().size(), 3U);
    const auto slots = loop_.run(list_slots(*app_));
    ASSERT_TRUE(slots);
    ASSERT_GE(slots->size(), 1U);
    const auto report = loop_.run(drop_source_traces(*app_, stream_));
    ASSERT_TRUE(report) << report.error().to_string();
    EXPECT_EQ(report->dropped.size(), 3U);
    EXPECT_EQ(state(), before);
    ASSERT_TRUE(loop_.run(drop_source_traces(*app_, stream_)));
}

TEST_F(PostgresSource, TablesThatCannotBeCapturedAreNamedWithTheReason) {
    sql("CREATE VIEW v AS SELECT 1 AS a; CREATE UNLOGGED TABLE u (a int); CREATE SEQUENCE s;"
        "CREATE TABLE ok (a int PRIMARY KEY)");
    std::vector<ChosenTable> tables = chosen({"v", "u", "s", "nowhere", "ok"});
    tables.push_back({{"pg_catalog", "pg_class"}, {}});
    const auto facts = loop_.run(read_source_tables(*app_, tables));
    ASSERT_TRUE(facts) << facts.error().to_string();
    ASSERT_EQ(facts->size(), 6U);
    for (size_t i = 0; i < facts->size(); ++i) {
        EXPECT_EQ((*facts)[i].refusal.has_value(), i != 4) << i;
    }
    EXPECT_NE((*facts)[1].refusal->mend.find("SET LOGGED"), std::string::npos);
}

/// A role of the application's kind: what it lacks is found, and what is named mends it.
// Spec: R-28
TEST_F(PostgresSource, CheckFindsWhatARoleLacksAndItsSqlMendsIt) {
    make_tables();
    const auto role = "qiao_role_" + database_name_;
    sql("CREATE ROLE " + role + " LOGIN; SET ROLE " + role);
    const auto stands_against = [this] {
        std::vector<std::string> mends;
        const auto findings = loop_.run(check_source(*app_, stream_, chosen({"plain", "keyless"})));
        EXPECT_TRUE(findings) << findings.error().to_string();
        for (size_t i = 0; findings && i < findings->size(); ++i) {
            if ((*findings)[i].verdict == drivers::Finding::Verdict::Bad) {
                mends.push_back((*findings)[i].mend);
            }
        }
        return mends;
    };
    auto mends = stands_against();
    EXPECT_GE(mends.size(), 3U);
    for (int round = 0; round < 5 && !mends.empty(); ++round) {
        sql("RESET ROLE");
        for (auto mend : mends) {
            if (const auto at = mend.find("CURRENT_USER"); at != std::string::npos) {
                mend.replace(at, 12, role);
            }
            sql(mend);
        }
        sql("SET ROLE " + role);
        mends = stands_against();
    }
    EXPECT_TRUE(mends.empty()) << mends.front();
    const auto done = set_up(chosen({"plain", "keyless"}));
    EXPECT_TRUE(done) << done.error().to_string();
    sql("RESET ROLE; DROP OWNED BY " + role);
    sql("DROP ROLE " + role);
}

}  // namespace
}  // namespace qiao::capture::postgres
