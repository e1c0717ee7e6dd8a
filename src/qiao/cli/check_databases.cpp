#include "qiao/cli/check_databases.h"

#include "qiao/agent/sync_run.h"
#include "qiao/capture/postgres/source_check.h"
#include "qiao/capture/postgres/source_setup.h"
#include "qiao/capture/timestamp_check.h"
#include "qiao/cli/state_folder.h"
#include "qiao/drivers/postgres/catalogue.h"
#include "qiao/drivers/postgres/connection.h"
#include "qiao/drivers/postgres/row_query.h"
#include "qiao/drivers/postgres/structure/compare.h"

#include <fmt/format.h>

namespace qiao::cli {
namespace {

namespace pg = drivers::postgres;

constexpr int kOldest = 140000;
constexpr int kNewest = 189999;
/// Apart from this, lag that is told from the source's clock means nothing.
constexpr int64_t kClockApartUs = 2'000'000;
constexpr uint64_t kDiskLeast = 1ULL << 30U;

using Opened = std::unique_ptr<pg::Connection>;

Task<Result<Opened>> open_database(EventLoop& loop, drivers::DataSourceUrl url, StopSignal& stop) {
    pg::ConnectOptions options;
    options.application_name = "qiao check";
    const pg::Runtime runtime{loop, loop, loop};
    co_return co_await pg::Connection::open(runtime, url, std::move(options), stop);
}

/// The chosen tables with their names at the target.
Task<Result<std::vector<drivers::TablePair>>> choose(
    pg::Connection& source, std::vector<std::string> texts
) {
    std::vector<drivers::TablePair> pairs;
    for (const auto& text : texts) {
        const auto equals = text.find('=');
        QIAO_CO_TRY(auto pattern, pg::TablePattern::parse(text.substr(0, equals)));
        std::vector<pg::TablePattern> patterns{std::move(pattern)};
        QIAO_CO_TRY(const auto found, co_await pg::read_tables(source, std::move(patterns)));
        for (const auto& table : found) {
            auto target = table.schema.table;
            if (equals != std::string::npos) {
                QIAO_CO_TRY(const auto name, pg::TablePattern::parse(text.substr(equals + 1)));
                if (found.size() != 1 || !name.name || !name.schema) {
                    co_return Error(ErrorCode::Config, fmt::format("`{}` is not S.T=S2.T2", text));
                }
                target = {*name.schema, *name.name};
            }
            pairs.push_back({table.schema.table, target});
        }
    }
    co_return pairs;
}

void judge_version(const std::string& part, pg::Connection& connection, CheckReport& report) {
    const auto version = connection.server_version();
    const auto en = fmt::format("PostgreSQL {}", version / 10000);
    if (version >= kOldest && version <= kNewest) {
        report.good(part, "version", {en, en});
    } else {
        report.bad(
            part, "version", {en + " is not supported", en + " 不受支持"}, "PostgreSQL 14 … 18"
        );
    }
}

/// The server's clock against this machine's, with the time of the question cut out by half.
Task<Status> judge_clock(
    EventLoop& loop, std::string part, pg::Connection& connection, CheckReport& report
) {
    const auto before = loop.wall_now();
    QIAO_CO_TRY(
        const auto rows,
        co_await connection.query(
            "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8::text"
        )
    );
    const auto middle = before.us + (loop.wall_now().us - before.us) / 2;
    const auto apart = static_cast<int64_t>(rows.number(0, 0)) - middle;
    const auto seconds = fmt::format("{:+.1f} s", static_cast<double>(apart) / 1e6);
    const auto en = fmt::format("the server's clock differs by {} from this machine's", seconds);
    const auto zh = fmt::format("服务器时钟与本机相差 {}", seconds);
    if (apart > kClockApartUs || apart < -kClockApartUs) {
        report.warning(part, "clock", {en, zh}, "chronyc makestep");
    } else {
        report.good(part, "clock", {en, zh});
    }
    co_return Status{};
}

Task<Status> judge_target(EventLoop& loop, pg::Connection& target, CheckReport& report) {
    judge_version("target", target, report);
    QIAO_CO_TRY(
        const auto rows,
        co_await target.query("SELECT current_database(), current_user, "
                              "has_database_privilege(current_database(), 'CREATE'), "
                              "to_regclass('qiao.checkpoint') IS NOT NULL, pg_is_in_recovery(), "
                              "(SELECT count(*) FROM pg_namespace WHERE nspname = 'qiao') > 0")
    );
    const auto database = pg::quote_identifier(rows.text(0, 0));
    const auto user = pg::quote_identifier(rows.text(0, 1));
    if (rows.flag(0, 4)) {
        report.bad(
            "target",
            "recovery",
            {"the server is a standby: nothing can be written", "该服务器为备库,不可写"},
            "--to the primary"
        );
    }
    if (rows.flag(0, 2) || rows.flag(0, 5)) {
        report.good("target", "schema qiao", {"can be made, or is there", "可以创建或已存在"});
    } else {
        report.bad(
            "target",
            "schema qiao",
            {"the user may not make a schema for the checkpoint", "用户无权创建存放断点的模式"},
            fmt::format("GRANT CREATE ON DATABASE {} TO {};", database, user)
        );
    }
    co_return co_await judge_clock(loop, "target", target, report);
}

Task<Status> judge_encodings(pg::Connection& source, pg::Connection& target, CheckReport& report) {
    QIAO_CO_TRY(const auto from, co_await source.query("SHOW server_encoding"));
    QIAO_CO_TRY(const auto to, co_await target.query("SHOW server_encoding"));
    const auto en = fmt::format("{} → {}", from.text(0, 0), to.text(0, 0));
    if (from.text(0, 0) == to.text(0, 0) || to.text(0, 0) == "UTF8") {
        report.good("structure", "encoding", {en, en});
    } else {
        report.warning(
            "structure",
            "encoding",
            {en + ": characters that the target lacks will be refused",
             en + ":目标编码没有的字符将被拒绝"},
            "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        );
    }
    co_return Status{};
}

Task<void> judge_disk(Storage& storage, std::string state, CheckReport& report) {
    // The folder may still have to be made: its nearest parent tells.
    auto place = state;
    auto free = co_await storage.free_bytes(place);
    while (!free && place.find('/') != std::string::npos && place.size() > 1) {
        const auto slash = place.rfind('/');
        place = slash == 0 ? "/" : place.substr(0, slash);
        free = co_await storage.free_bytes(place);
    }
    if (!free) {
        report.unknown("disk", free.error());
        co_return;
    }
    const auto mib = *free >> 20U;
    const auto en = fmt::format("{} MiB free for {}", mib, state);
    const auto zh = fmt::format("{} 可用空间 {} MiB", state, mib);
    if (*free < kDiskLeast) {
        report.warning("disk", "state folder", {en, zh}, "--state on a disk with 1 GiB or more");
    } else {
        report.good("disk", "state folder", {en, zh});
    }
}

Task<Status> check_source_side(
    EventLoop& loop,
    pg::Connection& source,
    StreamId stream,
    const std::vector<drivers::TablePair>& pairs,
    CheckReport& report
) {
    std::vector<capture::postgres::ChosenTable> chosen;
    for (const auto& pair : pairs) {
        chosen.push_back({pair.source, {}});
    }
    judge_version("source", source, report);
    QIAO_CO_TRY(
        auto findings, co_await capture::postgres::check_source(source, stream, std::move(chosen))
    );
    report.add("source", std::move(findings));
    co_return co_await judge_clock(loop, "source", source, report);
}

Task<Status> check_timed_side(
    EventLoop& loop,
    pg::Connection& source,
    const DatabaseCheck& check,
    const std::vector<drivers::TablePair>& pairs,
    CheckReport& report
) {
    if (pairs.size() != 1) {
        co_return Error(ErrorCode::Config, "--mode timestamp goes with one --table S.T");
    }
    judge_version("source", source, report);
    auto options = check.timed->options;
    options.table.table = pairs.front().source;
    StopSignal never;
    const auto rows =
        pg::make_row_database({loop, loop, loop}, *check.from, {check.timed->zone}, never);
    QIAO_CO_TRY(const auto query, co_await rows->connect());
    QIAO_CO_TRY(auto findings, co_await capture::check_timed_table(*query, std::move(options)));
    report.add("source", std::move(findings));
    co_return co_await judge_clock(loop, "source", source, report);
}

void keep(const char* part, const Status& done, CheckReport& report) {
    if (!done) {
        report.unknown(part, done.error());
    }
}

}  // namespace

Task<void> check_databases(
    EventLoop& loop, Storage& storage, DatabaseCheck check, CheckReport& report
) {
    StopSignal never;
    Opened source;
    Opened target;
    std::vector<drivers::TablePair> pairs;
    if (check.from) {
        auto opened = co_await open_database(loop, *check.from, never);
        if (opened) {
            source = *std::move(opened);
            auto chosen = co_await choose(*source, check.tables);
            if (chosen) {
                pairs = *std::move(chosen);
                const auto stream =
                    check.to ? agent::sync_stream(*check.from, *check.to) : StreamId{};
                auto checking = check.timed
                                    ? check_timed_side(loop, *source, check, pairs, report)
                                    : check_source_side(loop, *source, stream, pairs, report);
                keep("source", co_await std::move(checking), report);
            } else {
                report.unknown("source", chosen.error());
            }
        } else {
            report.unknown("source", opened.error());
        }
    }
    if (check.to) {
        auto opened = co_await open_database(loop, *check.to, never);
        if (opened) {
            target = *std::move(opened);
            keep("target", co_await judge_target(loop, *target, report), report);
        } else {
            report.unknown("target", opened.error());
        }
    }
    if (source && target) {
        keep("structure", co_await judge_encodings(*source, *target, report), report);
        // What is captured by time of change may be a view.
        if (!pairs.empty() && !check.timed) {
            auto compared = co_await pg::compare_structure(*source, *target, pairs);
            if (compared) {
                report.add("structure", *std::move(compared));
            } else {
                report.unknown("structure", compared.error());
            }
        }
    }
    if (check.state.empty() && check.from && check.to) {
        check.state = default_state_folder(agent::sync_stream(*check.from, *check.to));
    }
    if (!check.state.empty()) {
        co_await judge_disk(storage, check.state, report);
    }
}

}  // namespace qiao::cli
