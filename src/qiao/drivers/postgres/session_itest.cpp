#include "qiao/common/async/scope.h"
#include "qiao/common/async/sleep.h"
#include "qiao/drivers/postgres/catalogue.h"
#include "qiao/drivers/postgres/postgres_fixture.h"
#include "qiao/drivers/postgres/target_session.h"

#include <gmock/gmock.h>

namespace qiao::drivers::postgres {
namespace {

StreamId stream_id(uint8_t number) {
    StreamId id;
    id.bytes.fill(std::byte{number});
    return id;
}

Incarnation owner_id(uint8_t number) {
    Incarnation id;
    id.bytes.fill(std::byte{number});
    return id;
}

class SessionTest : public PostgresTest {
protected:
    std::unique_ptr<TargetSession> session(TargetOptions options = {}) {
        targets_.push_back(std::make_unique<PostgresTarget>(runtime(), url_, options, stop_));
        auto made = loop_.run(targets_.back()->connect());
        EXPECT_TRUE(made) << made.error().to_string();
        return made ? *std::move(made) : nullptr;
    }

    std::unique_ptr<TargetSession> prepared(TargetOptions options = {}) {
        auto made = session(options);
        const auto done = loop_.run(made->prepare());
        EXPECT_TRUE(done) << done.error().to_string();
        return made;
    }

    CheckpointRow claim(TargetSession& session, Incarnation owner) {
        auto row = loop_.run(session.claim(stream_, owner));
        EXPECT_TRUE(row) << row.error().to_string();
        return row ? *row : CheckpointRow{};
    }

    static CheckpointRow after(CheckpointRow row) {
        row.point.epoch.value = 1;
        row.point.sequence = row.point.sequence.next();
        row.position = model::SourcePosition::lsn(7, 1, 100 * row.point.sequence.value);
        row.digest.bytes.fill(static_cast<std::byte>(row.point.sequence.value));
        return row;
    }

    /// One transaction that moves the checkpoint; its COMMIT is left to the caller.
    Status move(TargetSession& session, CheckpointRow from, CheckpointRow to) {
        QIAO_CHECK(loop_.run(session.begin()));
        QIAO_CHECK(loop_.run(session.lock_checkpoint(stream_, from)));
        return loop_.run(session.advance(stream_, from, to));
    }

    StreamId stream_ = stream_id(1);
    std::vector<std::unique_ptr<PostgresTarget>> targets_;
};

// Spec
TEST_F(SessionTest, TheCheckpointIsWhatWasCommitted) {
    const auto one = prepared();
    EXPECT_FALSE(*loop_.run(one->checkpoint(stream_)));
    auto row = claim(*one, owner_id(1));
    EXPECT_EQ(row.owner, owner_id(1));
    EXPECT_TRUE(row.position.empty());
    EXPECT_EQ(row.point, StreamPoint{});
    const auto next = after(row);
    ASSERT_TRUE(move(*one, row, next));
    EXPECT_EQ(loop_.run(one->commit()).kind, CommitOutcome::Kind::Committed);
    const auto lost = after(next);
    ASSERT_TRUE(move(*one, next, lost));
    ASSERT_TRUE(loop_.run(one->rollback()));
    const auto other = prepared();
    EXPECT_EQ(*loop_.run(other->checkpoint(stream_)), next);
    auto taken = next;
    taken.owner = owner_id(2);
    EXPECT_EQ(claim(*other, owner_id(2)), taken);
    EXPECT_EQ(value("SELECT position_text FROM qiao.checkpoint"), "0/64");
}

// Source: rules 17
TEST_F(SessionTest, AnOwnerThatWasReplacedIsFenced) {
    const auto one = prepared();
    const auto two = prepared();
    const auto first = claim(*one, owner_id(1));
    const auto second = claim(*two, owner_id(2));
    const auto refused = move(*one, first, after(first));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), ErrorCode::ApplyFenced);
    ASSERT_TRUE(loop_.run(one->rollback()));
    // Without the lock, the compare-and-set alone refuses too.
    ASSERT_TRUE(loop_.run(one->begin()));
    const auto blind = loop_.run(one->advance(stream_, first, after(first)));
    ASSERT_FALSE(blind);
    EXPECT_EQ(blind.error().code(), ErrorCode::ApplyFenced);
    ASSERT_TRUE(loop_.run(one->rollback()));
    // Each part of the row is compared.
    for (int part = 0; part < 5; ++part) {
        auto other = second;
        switch (part) {
            case 0:
                other.point.epoch.value = 9;
                break;
            case 1:
                other.point.sequence.value = 9;
                break;
            case 2:
                other.position = model::SourcePosition::lsn(1, 1, 1);
                break;
            case 3:
                other.digest.bytes[3] = std::byte{1};
                break;
            default:
                other.owner = owner_id(9);
                break;
        }
        ASSERT_TRUE(loop_.run(two->begin()));
        EXPECT_EQ(
            loop_.run(two->lock_checkpoint(stream_, other)).error().code(), ErrorCode::ApplyFenced
        );
        EXPECT_EQ(
            loop_.run(two->advance(stream_, other, after(other))).error().code(),
            ErrorCode::ApplyFenced
        );
        ASSERT_TRUE(loop_.run(two->rollback()));
    }
    ASSERT_TRUE(move(*two, second, after(second)));
    EXPECT_EQ(loop_.run(two->commit()).kind, CommitOutcome::Kind::Committed);
}

// The same by the calls that say two things in one go.
TEST_F(SessionTest, AnOwnerThatWasReplacedNeitherLocksNorCommits) {
    const auto one = prepared();
    const auto two = prepared();
    const auto first = claim(*one, owner_id(1));
    ASSERT_TRUE(loop_.run(one->begin_locked("", stream_, first)));
    const auto moved = loop_.run(one->advance_and_commit(stream_, first, after(first)));
    EXPECT_EQ(moved.kind, CommitOutcome::Kind::Committed);
    const auto second = claim(*two, owner_id(2));
    EXPECT_EQ(second.point, after(first).point);
    const auto locked = loop_.run(one->begin_locked("", stream_, after(first)));
    ASSERT_FALSE(locked);
    EXPECT_EQ(locked.error().code(), ErrorCode::ApplyFenced);
    ASSERT_TRUE(loop_.run(one->rollback()));
    run("CREATE TABLE public.t (x int)");
    ASSERT_TRUE(loop_.run(one->begin()));
    ASSERT_TRUE(loop_.run(one->save_schema(stream_, {.table = {"public", "t"}})));
    const auto blind = loop_.run(one->advance_and_commit(stream_, after(first), after(second)));
    EXPECT_EQ(blind.kind, CommitOutcome::Kind::Failed);
    ASSERT_TRUE(blind.error);
    EXPECT_EQ(blind.error->code(), ErrorCode::ApplyFenced);
    ASSERT_TRUE(loop_.run(one->rollback()));
    EXPECT_EQ(value("SELECT count(*) FROM qiao.table_schema"), "0");
    EXPECT_EQ(*loop_.run(two->checkpoint(stream_)), second);
}

Task<void> commit_later(
    EventLoop& loop, TargetSession& session, StopSignal& stop, bool& committed
) {
    (void)co_await sleep_for(loop, loop, std::chrono::milliseconds(200), stop);
    committed = true;
    (void)co_await session.commit();
}

Task<Result<CheckpointRow>> claim_meanwhile(
    EventLoop& loop,
    TargetSession& busy,
    TargetSession& other,
    StreamId stream,
    StopSignal& stop,
    bool& committed
) {
    TaskScope scope(loop);
    scope.spawn(commit_later(loop, busy, stop, committed));
    auto row = co_await other.claim(stream, owner_id(2));
    EXPECT_TRUE(committed);
    co_await scope.join();
    co_return row;
}

TEST_F(SessionTest, AClaimWaitsForTheTransactionUnderWay) {
    const auto one = prepared();
    const auto two = prepared();
    const auto first = claim(*one, owner_id(1));
    const auto next = after(first);
    ASSERT_TRUE(move(*one, first, next));
    bool committed = false;
    const auto row = loop_.run(claim_meanwhile(loop_, *one, *two, stream_, stop_, committed));
    ASSERT_TRUE(row) << row.error().to_string();
    EXPECT_EQ(row->point, next.point);
    EXPECT_EQ(row->position, next.position);
}

class CommitTest : public SessionTest {
protected:
    /// Ends the only other backend of the database that runs an apply session.
    void terminate_apply() {
        run("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'qiao apply'");
    }
};

TEST_F(CommitTest, IsUnknownWhenItsAnswerIsLost) {
    auto one = prepared();
    const auto first = claim(*one, owner_id(1));
    ASSERT_TRUE(move(*one, first, after(first)));
    terminate_apply();
    const auto outcome = loop_.run(one->commit());
    EXPECT_EQ(outcome.kind, CommitOutcome::Kind::Unknown);
    const auto two = prepared();
    EXPECT_EQ(claim(*two, owner_id(2)).point, first.point);
}

TEST_F(CommitTest, IsUnknownWhenTheServerDiesInsideIt) {
    // The deferred trigger sleeps inside COMMIT, and there the backend is ended.
    run("CREATE TABLE public.t (id int PRIMARY KEY); CREATE FUNCTION public.slow() RETURNS trigger "
        "LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(30); RETURN NULL; END';"
        "CREATE CONSTRAINT TRIGGER s AFTER INSERT ON public.t DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION public.slow()");
    TargetOptions options;
    options.triggers = TargetOptions::Triggers::On;
    const auto one = prepared(options);
    ASSERT_TRUE(loop_.run(one->begin()));
    const auto target = loop_.run(one->describe({"public", "t"}));
    ASSERT_TRUE(target);
    const auto bytes = std::move(model::TupleBuilder(1).text("1")).take();
    const model::Change change{.op = model::Op::Insert, .new_row = *model::Tuple::parse(bytes)};
    const model::Change* list[] = {&change};
    const auto schema = loop_.run(read_table(*sql_, {"public", "t"}))->schema;
    const TableWrite write{&schema, &*target, model::Op::Insert, list};
    ASSERT_FALSE(loop_.run(one->write(write, WriteMode::RowByRow))->failure);
    const auto killer = open(url_);

    struct Race {
        static Task<void> kill(EventLoop& loop, Connection& by, StopSignal& stop) {
            (void)co_await sleep_for(loop, loop, std::chrono::milliseconds(300), stop);
            (void)co_await by.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'qiao apply' AND datname = current_database()"
            );
        }

        static Task<Result<CommitOutcome>> run(
            EventLoop& loop, TargetSession& session, Connection& by, StopSignal& stop
        ) {
            TaskScope scope(loop);
            scope.spawn(kill(loop, by, stop));
            auto outcome = co_await session.commit();
            co_await scope.join();
            co_return outcome;
        }
    };

    const auto outcome = loop_.run(Race::run(loop_, *one, *killer, stop_));
    EXPECT_EQ(outcome->kind, CommitOutcome::Kind::Unknown);
}

TEST_F(CommitTest, IsFailedWhenTheServerRefusesIt) {
    const auto one = prepared();
    ASSERT_TRUE(loop_.run(one->begin()));
    ASSERT_FALSE(loop_.run(one->delete_all({"public", "nothing"})));
    ASSERT_TRUE(loop_.run(one->rollback()));
    ASSERT_TRUE(loop_.run(one->begin()));
    ASSERT_FALSE(loop_.run(one->release_savepoint()));
    EXPECT_EQ(loop_.run(one->commit()).kind, CommitOutcome::Kind::Failed);
    // The session goes on.
    EXPECT_FALSE(*loop_.run(one->checkpoint(stream_)));
}

TEST_F(SessionTest, KeepsStatesSchemasAndErrorsOfEachStream) {
    const auto one = prepared();
    const model::TableName person{"public", "person \"x\""};
    const model::TableName house{"public", "house"};
    model::TableSchema schema{
        person,
        model::Identity::PrimaryKey,
        {{.name = "id", .type = "pg_catalog.int8", .key = true}}
    };
    const TableState live{person, 3, TableStatus::Live, model::SourcePosition::lsn(1, 2, 3)};
    const TableState paused{
        house, 4000000000, TableStatus::Paused, {}, "a note", model::SourcePosition::lsn(1, 2, 4)
    };
    ASSERT_TRUE(loop_.run(one->begin()));
    ASSERT_TRUE(loop_.run(one->save_table_state(stream_, {person, 1, TableStatus::Pending, {}})));
    ASSERT_TRUE(loop_.run(one->save_table_state(stream_, live)));
    ASSERT_TRUE(loop_.run(one->save_table_state(stream_, paused)));
    ASSERT_TRUE(loop_.run(one->save_schema(stream_, schema)));
    ASSERT_TRUE(loop_.run(one->save_schema(stream_, schema)));
    ASSERT_EQ(loop_.run(one->commit()).kind, CommitOutcome::Kind::Committed);
    const auto two = prepared();
    EXPECT_THAT(*loop_.run(two->table_states(stream_)), testing::ElementsAre(paused, live));
    EXPECT_THAT(*loop_.run(two->schemas(stream_)), testing::ElementsAre(schema));
    EXPECT_TRUE(loop_.run(two->table_states(stream_id(9)))->empty());
    EXPECT_EQ(*loop_.run(two->table_state(stream_, person)), live);
    EXPECT_EQ(*loop_.run(two->table_state(stream_id(9), person)), std::nullopt);
    EXPECT_TRUE(loop_.run(two->schemas(stream_id(9)))->empty());
}

// Source: rules 20, 21
TEST_F(SessionTest, KeepsWhatIsLaidAsideInOrderUnderAllItsNames) {
    const auto session = prepared();
    const model::TableName person{"public", "person \"x\""};
    const model::TableName house{"public", "house"};
    ErrorRow row;
    row.table = person;
    row.key_text = "name='it''s \"\\{,}'";
    row.keys = {row.key_text, "id=2", ""};
    row.point = {{1}, {2}};
    row.position = model::SourcePosition::lsn(1, 2, 3);
    row.code = "drivers.constraint";
    row.detail = "x";
    row.sealed_change = Bytes(1000);
    ASSERT_TRUE(loop_.run(session->begin()));
    ASSERT_TRUE(loop_.run(session->save_error(stream_, row)));
    row.keys = {"id=2"};
    ASSERT_TRUE(loop_.run(session->save_error(stream_, row)));
    row.table = house;
    row.keys = {"*"};
    ASSERT_TRUE(loop_.run(session->save_error(stream_, row)));
    ASSERT_EQ(loop_.run(session->commit()).kind, CommitOutcome::Kind::Committed);

    const auto open = *loop_.run(session->open_errors(stream_));
    EXPECT_THAT(
        open.keys,
        testing::UnorderedElementsAre(
            ErrorKey{person, "name='it''s \"\\{,}'"},
            ErrorKey{person, "id=2"},
            ErrorKey{person, ""},
            ErrorKey{house, "*"}
        )
    );
    EXPECT_EQ(open.rows.at(person), 2U);
    EXPECT_EQ(open.rows.at(house), 1U);
    EXPECT_TRUE(loop_.run(session->open_errors(stream_id(9)))->keys.empty());

    const auto all = *loop_.run(session->read_errors(stream_, {}));
    ASSERT_EQ(all.size(), 3U);
    EXPECT_EQ(all[0].key_text, row.key_text);
    EXPECT_EQ(all[0].point, row.point);
    EXPECT_EQ(all[0].position, row.position);
    EXPECT_EQ(all[0].sealed_change.size(), 1000U);
    EXPECT_LT(all[0].number, all[1].number);
    const auto count = [&](ErrorRange range) {
        return loop_.run(session->read_errors(stream_, std::move(range)))->size();
    };
    EXPECT_EQ(count({.table = person}), 2U);
    EXPECT_EQ(count({.after = all[0].number}), 2U);
    EXPECT_EQ(count({.rows_most = 1}), 1U);
    EXPECT_EQ(count({.bytes_most = 1}), 1U);
    EXPECT_EQ(count({.bytes_most = 1001}), 2U);
    EXPECT_TRUE(loop_.run(session->read_errors(stream_id(9), {}))->empty());

    ASSERT_TRUE(loop_.run(session->note_error(stream_, all[2].number, "drivers.value", "long")));
    EXPECT_EQ((*loop_.run(session->read_errors(stream_, {.table = house}))).front().detail, "long");
    const auto dropped = loop_.run(session->drop_errors(stream_, person, row.key_text));
    ASSERT_TRUE(dropped) << dropped.error().to_string();
    EXPECT_THAT(
        *dropped,
        testing::ElementsAre(std::vector{row.key_text, std::string("id=2"), std::string()})
    );
    EXPECT_EQ(count({}), 2U);
    ASSERT_TRUE(loop_.run(session->drop_errors(stream_id(9), {all[1].number})));
    EXPECT_EQ(count({}), 2U);
    ASSERT_TRUE(loop_.run(session->drop_errors(stream_, {all[1].number})));
    const auto rest = loop_.run(session->drop_errors(stream_, house, ""));
    ASSERT_TRUE(rest) << rest.error().to_string();
    EXPECT_TRUE(rest->empty());
    EXPECT_EQ(count({}), 0U);
}

// Source: rules 20
TEST_F(SessionTest, TellsTheOwnerOfAnIntervention) {
    const auto session = prepared();
    const auto other = prepared();
    const auto nobody = loop_.run(other->intervene(stream_));
    ASSERT_FALSE(nobody);
    EXPECT_EQ(nobody.error().code(), ErrorCode::ApplyNoStream);
    const auto row = *loop_.run(session->claim(stream_, owner_id(1)));
    const auto seen = [&] {
        EXPECT_TRUE(loop_.run(session->begin()));
        const auto count = *loop_.run(session->lock_checkpoint(stream_, row));
        EXPECT_TRUE(loop_.run(session->rollback()));
        return count;
    };
    const auto before = seen();
    EXPECT_EQ(seen(), before);
    ASSERT_TRUE(loop_.run(other->begin()));
    ASSERT_TRUE(loop_.run(other->intervene(stream_)));
    ASSERT_EQ(loop_.run(other->commit()).kind, CommitOutcome::Kind::Committed);
    EXPECT_EQ(seen(), before + 1);
}

TEST_F(SessionTest, DroppingLeavesTheCatalogueAsItWas) {
    const auto* const all =
        "SELECT nspname || '.' || relname FROM pg_class c JOIN pg_namespace n ON n.oid = "
        "relnamespace "
        "WHERE nspname !~ '^pg_' UNION ALL SELECT nspname FROM pg_namespace WHERE nspname !~ "
        "'^pg_t' "
        "ORDER BY 1";
    const auto before = lines(all);
    ASSERT_TRUE(loop_.run(drop_traces(*sql_, {})));
    {
        const auto one = prepared();
        claim(*one, owner_id(1));
        stream_ = stream_id(2);
        claim(*one, owner_id(1));
        EXPECT_NE(lines(all), before);
    }
    const std::vector<StreamId> first{stream_id(1)};
    const auto some = loop_.run(drop_traces(*sql_, first));
    ASSERT_TRUE(some) << some.error().to_string();
    EXPECT_EQ(value("SELECT encode(stream, 'hex') FROM qiao.checkpoint"), stream_id(2).to_string());
    ASSERT_TRUE(loop_.run(drop_traces(*sql_, {stream_id(2)})));
    EXPECT_EQ(lines(all), before);
    prepared();
    ASSERT_TRUE(loop_.run(drop_traces(*sql_, {})));
    EXPECT_EQ(lines(all), before);
}

Task<Result<int>> prepare_at_once(
    EventLoop& loop, std::vector<std::unique_ptr<TargetSession>>& all
) {
    struct One {
        static Task<void> run(TargetSession& session, int& done) {
            const auto status = co_await session.prepare();
            EXPECT_TRUE(status) << status.error().to_string();
            done += status ? 1 : 0;
        }
    };

    int done = 0;
    TaskScope scope(loop);
    for (const auto& session : all) {
        scope.spawn(One::run(*session, done));
    }
    co_await scope.join();
    co_return done;
}

TEST_F(SessionTest, ManyMayPrepareAtOnce) {
    std::vector<std::unique_ptr<TargetSession>> all;
    for (int i = 0; i < 8; ++i) {
        all.push_back(session());
    }
    EXPECT_EQ(*loop_.run(prepare_at_once(loop_, all)), 8);
}

TEST_F(SessionTest, SaysWhichGrantIsMissing) {
    run("CREATE ROLE poor LOGIN PASSWORD 'pw'");
    auto poor = url_;
    poor.user = "poor";
    poor.password = Secret(std::string_view("pw"));
    PostgresTarget target(runtime(), poor, {}, stop_);
    auto made = loop_.run(target.connect());
    ASSERT_TRUE(made) << made.error().to_string();
    auto refused = loop_.run((*made)->prepare());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), ErrorCode::DbPrivilege);
    EXPECT_EQ(refused.error().detail(), "GRANT CREATE ON DATABASE " + url_.database + " TO poor;");
    prepared();
    refused = loop_.run((*made)->prepare());
    ASSERT_FALSE(refused);
    run(refused.error().detail());
    const auto done = loop_.run((*made)->prepare());
    EXPECT_TRUE(done) << done.error().to_string();
    EXPECT_TRUE(loop_.run((*made)->claim(stream_, owner_id(1))));
    EXPECT_TRUE(loop_.run((*made)->save_error(stream_, {.table = {"a", "b"}, .key_text = "k"})));
    made->reset();
    run("DROP OWNED BY poor; DROP ROLE poor");
}

// Source: rules 16
TEST_F(SessionTest, MarksItsTransactionsFirstOfAll) {
    run("SELECT pg_create_logical_replication_slot('s', 'test_decoding');"
        "CREATE TABLE public.t (id int PRIMARY KEY); INSERT INTO public.t VALUES (1)");
    TargetOptions options;
    options.origin_path = "node'a>hub\\1";
    const auto one = prepared(options);
    ASSERT_TRUE(loop_.run(one->begin()));
    ASSERT_TRUE(loop_.run(one->delete_all({"public", "t"})));
    ASSERT_EQ(loop_.run(one->commit()).kind, CommitOutcome::Kind::Committed);
    const auto log = lines("SELECT data FROM pg_logical_slot_get_changes('s', NULL, NULL)");
    ASSERT_GE(log.size(), 4);
    EXPECT_THAT(log[log.size() - 3], testing::HasSubstr("prefix: qiao.origin"));
    EXPECT_THAT(log[log.size() - 3], testing::EndsWith("content:" + options.origin_path));
    EXPECT_THAT(log[log.size() - 2], testing::HasSubstr("DELETE"));
    run("SELECT pg_drop_replication_slot('s')");
}

class LoadTest : public SessionTest {
protected:
    /// Loads what COPY gives, head and tail of the binary form cut off as the format says.
    Result<uint64_t> load(TargetSession& session, LoadFormat format, size_t chunk) {
        const bool binary = format == LoadFormat::PgCopyBinary;
        const auto rows = loop_.run(read(binary));
        EXPECT_TRUE(rows);
        const auto schema = loop_.run(read_table(*sql_, {"public", "a"}))->schema;
        auto there = schema;
        there.table.name = "b";
        QIAO_CHECK(loop_.run(session.begin()));
        QIAO_CHECK(loop_.run(session.begin_copy(there, format)));
        for (const auto& row : *rows) {
            for (size_t at = 0; at < row.size(); at += chunk) {
                const auto part = ByteView(row).subspan(at, std::min(chunk, row.size() - at));
                QIAO_CHECK(loop_.run(session.copy(part)));
            }
        }
        return loop_.run(session.end_copy());
    }

    Task<Result<std::vector<Bytes>>> read(bool binary) {
        constexpr size_t kHead = 19;
        std::vector<Bytes> rows;
        QIAO_CO_CHECK(co_await sql_->begin_copy_out(
            binary ? "COPY (SELECT id, x, \"No\" FROM public.a) TO STDOUT (FORMAT binary)"
                   : "COPY (SELECT id, x, \"No\" FROM public.a) TO STDOUT"
        ));
        while (true) {
            QIAO_CO_TRY(const auto row, co_await sql_->copy_out());
            if (!row) {
                break;
            }
            rows.push_back(to_bytes(binary && rows.empty() ? row->subspan(kHead) : *row));
        }
        if (binary) {
            rows.pop_back();
        }
        co_return rows;
    }
};

TEST_F(LoadTest, TakesRowsInBothFormsOfCopy) {
    const auto* const table =
        "CREATE TABLE public.{} (id int GENERATED ALWAYS AS IDENTITY, x text, "
        "g text GENERATED ALWAYS AS (x || '!') STORED, \"No\" numeric)";
    run(fmt::format(fmt::runtime(table), "a"));
    run(fmt::format(fmt::runtime(table), "b"));
    run("INSERT INTO public.a (x, \"No\") SELECT nullif(repeat(chr(9) || E'\\\\\\n桥', n % 40), "
        "''), "
        "n / 7.0 FROM generate_series(1, 5000) n");
    const auto one = session();
    for (const auto format : {LoadFormat::PgCopyBinary, LoadFormat::PgCopyText}) {
        ASSERT_TRUE(one->accepts(format));
        const auto written = load(*one, format, 1000);
        ASSERT_TRUE(written) << written.error().to_string();
        EXPECT_EQ(*written, 5000);
        ASSERT_EQ(loop_.run(one->commit()).kind, CommitOutcome::Kind::Committed);
        EXPECT_EQ(value("SELECT count(*) FROM (TABLE public.a EXCEPT ALL TABLE public.b) d"), "0");
        run("TRUNCATE public.b");
    }
}

TEST_F(LoadTest, TakesRowsOfATableWithoutColumns) {
    run("CREATE TABLE public.b ()");
    const auto one = session();
    const auto schema = loop_.run(read_table(*sql_, {"public", "b"}))->schema;
    const Bytes binary_row(2, std::byte{0});  // a row of no fields
    for (const auto format : {LoadFormat::PgCopyText, LoadFormat::PgCopyBinary}) {
        ASSERT_TRUE(loop_.run(one->begin()));
        ASSERT_TRUE(loop_.run(one->begin_copy(schema, format)));
        for (int row = 0; row < 3; ++row) {
            const bool binary = format == LoadFormat::PgCopyBinary;
            ASSERT_TRUE(loop_.run(one->copy(binary ? ByteView(binary_row) : as_bytes("\n"))));
        }
        const auto written = loop_.run(one->end_copy());
        ASSERT_TRUE(written) << written.error().to_string();
        EXPECT_EQ(*written, 3);
        ASSERT_EQ(loop_.run(one->commit()).kind, CommitOutcome::Kind::Committed);
    }
    EXPECT_EQ(value("SELECT count(*) FROM public.b"), "6");
}

TEST_F(LoadTest, ARefusedRowLeavesTheSessionUsable) {
    run("CREATE TABLE public.a (id int, x text, \"No\" int); CREATE TABLE public.b (LIKE public.a, "
        "PRIMARY KEY (id)); INSERT INTO public.a SELECT 5, 'x', n FROM generate_series(1, 9) n");
    const auto one = session();
    const auto refused = load(*one, LoadFormat::PgCopyBinary, 7);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), ErrorCode::DbConstraint);
    ASSERT_TRUE(loop_.run(one->rollback()));
    run("ALTER TABLE public.b ALTER \"No\" TYPE bigint, DROP CONSTRAINT b_pkey");
    ASSERT_TRUE(loop_.run(one->describe({"public", "b"})));
    const auto differs = load(*one, LoadFormat::PgCopyBinary, 1000);
    ASSERT_FALSE(differs);
    EXPECT_EQ(differs.error().code(), ErrorCode::DbValue);
    ASSERT_TRUE(loop_.run(one->rollback()));
    EXPECT_EQ(*load(*one, LoadFormat::PgCopyText, 1000), 9);
}

}  // namespace
}  // namespace qiao::drivers::postgres
