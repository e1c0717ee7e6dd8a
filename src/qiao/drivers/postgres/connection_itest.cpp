#include "qiao/common/async/scope.h"
#include "qiao/common/async/sleep.h"
#include "qiao/drivers/postgres/postgres_fixture.h"

#include <algorithm>
#include <random>

namespace qiao::drivers::postgres {
namespace {

using ConnectionTest = PostgresTest;

TEST_F(ConnectionTest, AsksWithParametersOfEveryKind) {
    std::vector<Parameter> parameters{
        Parameter::of_text("it's \\ 桥"),
        Parameter::of_bytes(as_bytes(std::string_view("\0\x01\xff", 3))),
        Parameter::of_null(),
        Parameter::of_text("")
    };
    const auto rows = loop_.run(
        sql_->query("SELECT $1::text, encode($2, 'hex'), $3::text, $4::text, 42, true", parameters)
    );
    ASSERT_TRUE(rows) << rows.error().to_string();
    EXPECT_EQ(rows->text(0, 0), "it's \\ 桥");
    EXPECT_EQ(rows->text(0, 1), "0001ff");
    EXPECT_TRUE(rows->is_null(0, 2));
    EXPECT_EQ(rows->text(0, 3), "");
    EXPECT_FALSE(rows->is_null(0, 3));
    EXPECT_EQ(rows->number(0, 4), 42);
    EXPECT_TRUE(rows->flag(0, 5));
}

TEST_F(ConnectionTest, GoesOnAfterAFailedStatement) {
    const auto failed = loop_.run(sql_->query("SELECT 1/0"));
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code(), ErrorCode::DbValue);
    const auto several = loop_.run(sql_->execute("SELECT 1; SELECT nope; SELECT 2"));
    ASSERT_FALSE(several);
    EXPECT_EQ(several.error().code(), ErrorCode::DbNoTable);
    EXPECT_TRUE(sql_->alive());
    EXPECT_EQ(value("SELECT 7"), "7");
}

TEST_F(ConnectionTest, ErrorsNameTheConstraintAndNoValue) {
    run("CREATE TABLE public.person (id int PRIMARY KEY, age int)");
    run("INSERT INTO public.person VALUES (4711, 1)");
    const auto twice = loop_.run(sql_->query("INSERT INTO public.person VALUES (4711, 2)"));
    ASSERT_FALSE(twice);
    EXPECT_EQ(twice.error().code(), ErrorCode::DbConstraint);
    EXPECT_NE(twice.error().detail().find("public.person"), std::string::npos);
    EXPECT_NE(twice.error().detail().find("person_pkey"), std::string::npos);
    EXPECT_EQ(twice.error().detail().find("4711"), std::string::npos);
    for (const auto* sql :
         {"SELECT 's3cret'::int",
          "SELECT 's3\"cret\"s3cret'::int",
          "SELECT '[\"s3cret\",]'::json",
          "SELECT to_date('s3cret', 'YYYY')",
          "DO $$ BEGIN RAISE EXCEPTION 'bad value %', 's3cret'; END $$"}) {
        const auto refused = loop_.run(sql_->query(sql));
        ASSERT_FALSE(refused) << sql;
        EXPECT_EQ(refused.error().to_string().find("s3cret"), std::string::npos)
            << refused.error().to_string();
    }
}

// Spec: R-76
TEST_F(ConnectionTest, ConnectsOverIpv4Ipv6AndNames) {
    for (const auto* host : {"127.0.0.1", "::1", "localhost", "192.0.2.1.invalid,127.0.0.1"}) {
        auto url = url_;
        url.host = host;
        EXPECT_TRUE(open(url)) << host;
    }
}

TEST_F(ConnectionTest, SaysWhyItCouldNotConnect) {
    const auto refusal = [this](const DataSourceUrl& url, ConnectOptions options = {}) {
        const auto made = loop_.run(Connection::open(runtime(), url, options, stop_));
        EXPECT_FALSE(made);
        return made ? Error(ErrorCode::Cancelled) : made.error();
    };
    auto url = url_;
    url.password = Secret(std::string_view("wrong-s3cret"));
    EXPECT_EQ(refusal(url).code(), ErrorCode::DbAuthentication) << refusal(url).to_string();
    EXPECT_EQ(refusal(url).to_string().find("wrong-s3cret"), std::string::npos);

    url = url_;
    url.database = "no_such_database";
    EXPECT_EQ(refusal(url).code(), ErrorCode::DbNoDatabase) << refusal(url).to_string();

    url = url_;
    url.port = 1;
    EXPECT_EQ(refusal(url).code(), ErrorCode::DbConnect) << refusal(url).to_string();

    url = url_;
    url.host = "no-such-host.invalid";
    EXPECT_EQ(refusal(url).code(), ErrorCode::DbConnect) << refusal(url).to_string();

    url = url_;
    url.options["nonsense"] = "1";
    EXPECT_EQ(refusal(url).code(), ErrorCode::Config) << refusal(url).to_string();
    url.options = {{"password", "s3cret"}};
    EXPECT_EQ(refusal(url).code(), ErrorCode::Config);
}

/// A listener that takes connections and never says a word.
TEST_F(ConnectionTest, GivesUpOnASilentServerInTime) {
    auto listener = loop_.transport().listen({"127.0.0.1", 0});
    ASSERT_TRUE(listener);
    auto url = url_;
    url.host = "127.0.0.1";
    url.port = (*listener)->local().port;
    ConnectOptions options;
    options.connect_timeout = std::chrono::milliseconds(200);
    const auto late = loop_.run(Connection::open(runtime(), url, options, stop_));
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code(), ErrorCode::DbConnect);
}

TEST_F(ConnectionTest, SettingsHoldWhateverTheRoleSays) {
    run("ALTER DATABASE " + url_.database + " SET datestyle = 'SQL, DMY'");
    run("ALTER DATABASE " + url_.database + " SET timezone = 'Asia/Shanghai'");
    run("ALTER DATABASE " + url_.database + " SET search_path = 'nowhere'");
    run("ALTER DATABASE " + url_.database + " SET default_transaction_read_only = on");
    ConnectOptions options;
    options.settings = target_settings();
    const auto target = open(url_, options);
    const auto rows = loop_.run(target->query(
        "SELECT '2026-01-31 10:00+08'::timestamptz, current_setting('search_path'), "
        "current_setting('default_transaction_read_only'), current_setting('client_encoding')"
    ));
    ASSERT_TRUE(rows) << rows.error().to_string();
    EXPECT_EQ(rows->text(0, 0), "2026-01-31 02:00:00+00");
    EXPECT_EQ(rows->text(0, 1), "");
    EXPECT_EQ(rows->text(0, 2), "off");
    EXPECT_EQ(rows->text(0, 3), "UTF8");
    const auto admin = open(server_);
    const auto reset = "ALTER DATABASE " + url_.database + " RESET ALL";
    ASSERT_TRUE(loop_.run(admin->execute(reset)));
}

Task<Result<size_t>> read_all(Connection& connection, std::string sql, std::string& into) {
    QIAO_CO_CHECK(co_await connection.begin_copy_out(std::move(sql)));
    size_t rows = 0;
    while (true) {
        QIAO_CO_TRY(const auto row, co_await connection.copy_out());
        if (!row) {
            co_return rows;
        }
        into += as_text(*row);
        ++rows;
    }
}

Task<Result<uint64_t>> write_all(Connection& connection, std::string sql, const std::string& rows) {
    QIAO_CO_CHECK(co_await connection.begin_copy_in(std::move(sql)));
    const auto bytes = as_bytes(rows);
    for (size_t at = 0; at < bytes.size(); at += 100'000) {
        const auto part = bytes.subspan(at, std::min<size_t>(100'000, bytes.size() - at));
        QIAO_CO_CHECK(co_await connection.copy_in(part));
    }
    co_return co_await connection.end_copy_in();
}

TEST_F(ConnectionTest, CopiesMuchOutAndIn) {
    run("CREATE TABLE public.a AS SELECT n, repeat(md5(n::text), 10 + n % 50) AS x "
        "FROM generate_series(1, 20000) n");
    run("CREATE TABLE public.b (LIKE public.a)");
    std::string rows;
    const auto read = loop_.run(read_all(*sql_, "COPY public.a TO STDOUT", rows));
    ASSERT_TRUE(read) << read.error().to_string();
    EXPECT_EQ(*read, 20000);
    const auto written = loop_.run(write_all(*sql_, "COPY public.b FROM STDIN", rows));
    ASSERT_TRUE(written) << written.error().to_string();
    EXPECT_EQ(*written, 20000);
    EXPECT_EQ(value("SELECT count(*) FROM (TABLE public.a EXCEPT ALL TABLE public.b) d"), "0");
}

TEST_F(ConnectionTest, ARefusedRowEndsACopyAndNotTheSession) {
    run("CREATE TABLE public.c (n int PRIMARY KEY)");
    std::string rows = "1\n2\n2\n";
    for (int i = 3; i < 200'000; ++i) {
        rows += std::to_string(i) + "\n";
    }
    const auto twice = loop_.run(write_all(*sql_, "COPY public.c FROM STDIN", rows));
    ASSERT_FALSE(twice);
    EXPECT_EQ(twice.error().code(), ErrorCode::DbConstraint);
    const auto junk = "x\n" + rows;
    const auto text = loop_.run(write_all(*sql_, "COPY public.c FROM STDIN", junk));
    ASSERT_FALSE(text);
    EXPECT_EQ(text.error().code(), ErrorCode::DbValue);
    const auto none = loop_.run(write_all(*sql_, "COPY public.nothing FROM STDIN", rows));
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code(), ErrorCode::DbNoTable);
    EXPECT_EQ(value("SELECT count(*) FROM public.c"), "0");
}

Task<void> cancel_soon(EventLoop& loop, Connection& connection, StopSignal& stop) {
    (void)co_await sleep_for(loop, loop, std::chrono::milliseconds(100), stop);
    connection.cancel();
}

Task<Status> sleep_cancelled(EventLoop& loop, Connection& connection, StopSignal& stop) {
    TaskScope scope(loop);
    scope.spawn(cancel_soon(loop, connection, stop));
    auto done = co_await connection.execute("SELECT pg_sleep(60)");
    co_await scope.join();
    co_return done;
}

TEST_F(ConnectionTest, AnotherCoroutineCancels) {
    const auto done = loop_.run(sleep_cancelled(loop_, *sql_, stop_));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), ErrorCode::DeadlinePassed);
    EXPECT_EQ(value("SELECT 1"), "1");
}

Task<void> request_soon(EventLoop& loop, StopSignal& stop) {
    StopSignal never;
    (void)co_await sleep_for(loop, loop, std::chrono::milliseconds(100), never);
    stop.request();
}

Task<Status> sleep_stopped(EventLoop& loop, Connection& connection, StopSignal& stop) {
    TaskScope scope(loop);
    scope.spawn(request_soon(loop, stop));
    auto done = co_await connection.execute("SELECT pg_sleep(60)");
    co_await scope.join();
    co_return done;
}

TEST_F(ConnectionTest, StoppingEndsAWaitAndTheServersWork) {
    StopSignal stop;
    auto made = loop_.run(Connection::open(runtime(), url_, {}, stop));
    ASSERT_TRUE(made);
    const auto pid = (*made)->backend_pid();
    const auto done = loop_.run(sleep_stopped(loop_, **made, stop));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), ErrorCode::Cancelled);
    EXPECT_FALSE((*made)->alive());
    EXPECT_FALSE(loop_.run((*made)->execute("SELECT 1")));
    made->reset();
    const auto busy = fmt::format(
        "SELECT count(*) FROM pg_stat_activity WHERE pid = {} AND state = 'active'", pid
    );
    for (int tries = 0; tries < 100 && value(busy) != "0"; ++tries) {
        (void)loop_.run(sleep_for(loop_, loop_, std::chrono::milliseconds(50), stop_));
    }
    EXPECT_EQ(value(busy), "0");
}

TEST_F(ConnectionTest, KnowsThatItsBackendIsGone) {
    const auto other = open(url_);
    run(fmt::format("SELECT pg_terminate_backend({}, 5000)", other->backend_pid()));
    const auto done = loop_.run(other->execute("SELECT 1"));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), ErrorCode::DbLost) << done.error().to_string();
    const auto again = loop_.run(other->execute("SELECT 1"));
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code(), ErrorCode::DbLost);
    EXPECT_FALSE(other->alive());
}

TEST_F(ConnectionTest, SpeaksReplication) {
    ConnectOptions options;
    options.replication = true;
    options.settings = replication_settings();
    const auto replication = open(url_, options);
    const auto rows = loop_.run(replication->query("IDENTIFY_SYSTEM"));
    ASSERT_TRUE(rows) << rows.error().to_string();
    EXPECT_GT(rows->number(0, 0), 0);
    const auto style = loop_.run(replication->query("SHOW datestyle"));
    ASSERT_TRUE(style);
    EXPECT_TRUE(style->text(0, 0).starts_with("ISO"));
}

TEST_F(ConnectionTest, QuotesAnyNameAndText) {
    std::mt19937 random(3);
    for (int i = 0; i < 200; ++i) {
        std::string text = "x";
        for (auto left = random() % 20; left > 0; --left) {
            text += "'\\\"$%a \n;"[random() % 9];
        }
        const auto rows = loop_.run(
            sql_->query(fmt::format("SELECT {} AS {}", quote_literal(text), quote_identifier(text)))
        );
        ASSERT_TRUE(rows) << rows.error().to_string();
        EXPECT_EQ(rows->text(0, 0), text);
    }
}

}  // namespace
}  // namespace qiao::drivers::postgres
