#include "qiao/agent/sync_run.h"
#include "qiao/cli/carried_arguments.h"
#include "qiao/cli/command.h"
#include "qiao/cli/progress.h"
#include "qiao/cli/state_folder.h"
#include "qiao/cli/sync_report.h"
#include "qiao/cli/table_argument.h"
#include "qiao/cli/timestamp_arguments.h"
#include "qiao/common/async/sleep.h"
#include "qiao/common/posix_storage.h"

#include <fmt/format.h>

#include <csignal>
#include <memory>

namespace qiao::cli {
namespace {

struct Arguments {
    std::string from, to, state, suite = "gm";
    std::string version;  ///< of the program
    std::string on_error = "stop", foreign_changes = "overwrite";
    std::vector<std::string> tables, columns, where;
    bool create = false, existing = false, follow = false, once = false, drop = false, json = false;
    size_t readers = 2, value_limit_mib = model::kValueBytesMost >> 20U;
    TimestampArguments timestamp;
    CarriedArguments carried;
};

SyncWords words_of(const Arguments& arguments, const CLI::App& command, std::string version) {
    SyncWords words;
    words.from = arguments.from;
    words.to = arguments.to;
    words.state = arguments.state;
    words.suite = arguments.suite;
    words.tables = arguments.tables;
    words.columns = arguments.columns;
    words.where = arguments.where;
    words.readers = arguments.readers;
    words.create = arguments.create;
    words.suite_given = command.count("--suite") != 0;
    words.moves =
        arguments.follow || arguments.once || arguments.drop || arguments.timestamp.chosen();
    words.json = arguments.json;
    words.version = std::move(version);
    return words;
}

std::string usage_error(const Arguments& arguments, const SyncWords& words) {
    if (auto wrong = arguments.carried.usage_error(words);
        !wrong.empty() || arguments.carried.chosen()) {
        return wrong;
    }
    if (arguments.tables.empty() && (!arguments.drop || arguments.timestamp.chosen())) {
        return "--table is required";
    }
    if (arguments.timestamp.chosen() && !(arguments.columns.empty() && arguments.where.empty())) {
        return "--columns and --where: by timestamp it is the view that chooses";
    }
    if (arguments.create && !arguments.columns.empty()) {
        return "--create makes whole tables: make those with chosen --columns by hand";
    }
    return arguments.timestamp.usage_error(arguments.drop);
}

Status read_tables(const Arguments& arguments, agent::SyncOptions& options) {
    for (const auto& table : arguments.tables) {
        QIAO_CHECK(read_table(table, options));
    }
    QIAO_TRY(options.selection, read_selection(arguments.columns, arguments.where));
    options.timed = arguments.timestamp.choice();
    return {};
}

Task<Result<drivers::DataSourceUrl>> read_url(std::string text, Storage& storage) {
    QIAO_CO_TRY(auto url, drivers::DataSourceUrl::parse(text));
    co_return co_await drivers::resolve_password(std::move(url), storage);
}

void warn_of_password(const drivers::DataSourceUrl& url, const Console& console) {
    if (url.password_in_url) {
        console.warn(console.pick(
            {"warning: the password in the URL can be seen by others on this machine; use "
             "PGPASSFILE, "
             "user:@FILE@host or PGPASSWORD",
             "警告:URL 中的密码可能被本机其他人看到;请改用 PGPASSFILE、user:@文件@主机 或 "
             "PGPASSWORD"}
        ));
    }
}

Task<Status> drop(EventLoop& loop, Storage& storage, Arguments arguments, const Console& console) {
    QIAO_CO_TRY(const auto from, co_await read_url(arguments.from, storage));
    QIAO_CO_TRY(const auto to, co_await read_url(arguments.to, storage));
    agent::SyncOptions options{.from = from, .to = to};
    QIAO_CO_CHECK(read_tables(arguments, options));
    QIAO_CO_TRY(const auto stream, agent::sync_stream(options));
    const drivers::postgres::Runtime runtime{loop, loop, loop};
    StopSignal stop;
    agent::SourceChoice choice;
    choice.timed = options.timed;
    QIAO_CO_TRY(const auto source, agent::make_source(runtime, from, choice, system_rng(), stop));
    const auto dropped = co_await source->drop(stream);
    const auto cleaned = co_await agent::drop_target_traces(runtime, to, stream, stop);
    co_await remove_state_folder(
        storage, arguments.state.empty() ? default_state_folder(stream) : arguments.state
    );
    if (dropped) {
        for (const auto& name : *dropped) {
            console.say(name);
        }
    } else {
        console.fail(dropped.error().within("source"));
    }
    if (!cleaned) {
        console.fail(cleaned.error().within("target"));
    }
    QIAO_CO_CHECK(cleaned);
    co_return dropped ? Status{} : Status(dropped.error());
}

/// What the source notices while it is followed, when it is noticed first.
Task<void> tell_notes(
    EventLoop& loop, const agent::SyncRun& run, const Console& console, StopSignal& stop
) {
    constexpr Duration kLookEvery = std::chrono::seconds(1);
    std::string told;
    while (co_await sleep_for(loop, loop, kLookEvery, stop)) {
        std::string now;
        for (const auto& note : run.notes()) {
            now += describe_finding(note, console);
        }
        if (now != told && !now.empty()) {
            console.warn(now);
        }
        told = std::move(now);
    }
}

Task<Result<agent::SyncReport>> sync(
    EventLoop& loop, Storage& storage, const Arguments& arguments, const Console& console
) {
    agent::SyncOptions options;
    QIAO_CO_TRY(options.from, co_await read_url(arguments.from, storage));
    QIAO_CO_TRY(options.to, co_await read_url(arguments.to, storage));
    warn_of_password(options.from, console);
    warn_of_password(options.to, console);
    QIAO_CO_CHECK(read_tables(arguments, options));
    options.release = arguments.version;
    options.create = arguments.create;
    options.existing = arguments.existing;
    options.follow = arguments.follow;
    options.lay_aside = arguments.on_error == "aside";
    options.report_foreign_changes = arguments.foreign_changes == "report";
    options.suite = arguments.suite;
    options.load.readers = arguments.readers;
    options.value_bytes_max = arguments.value_limit_mib << 20U;
    QIAO_CO_TRY(const auto stream, agent::sync_stream(options));
    options.state = arguments.state.empty() ? default_state_folder(stream) : arguments.state;
    agent::SyncRun run(loop, storage, system_rng(), std::move(options));
    const auto on_signal = [&run](int) { run.stop(); };
    loop.on_signals({SIGINT, SIGTERM, SIGHUP}, on_signal);
    Progress progress(loop, console, run);
    progress.start();
    TaskScope noting(loop);
    noting.spawn(tell_notes(loop, run, console, noting.stop()));
    auto report = co_await run.run();
    noting.request_stop();
    co_await noting.join();
    co_await progress.finish();
    co_return report;
}

int run(const Arguments& arguments, Console& console) {
    console.json = arguments.json;
    EventLoop loop;
    const auto storage = make_posix_storage(loop);
    if (arguments.drop) {
        return loop.run(drop(loop, *storage, arguments, console)) ? kExitDone : kExitFailed;
    }
    const auto report = loop.run(sync(loop, *storage, arguments, console));
    if (!report) {
        console.fail(report.error());
        return kExitFailed;
    }
    // Parsed before, by the run. What is shown has no password.
    const auto shown = [](const std::string& url) {
        return drivers::DataSourceUrl::parse(url)->display();
    };
    tell(*report, {shown(arguments.from), shown(arguments.to), arguments.follow}, console);
    if (arguments.json) {
        console.put_json(to_json(*report));
    }
    if (report->laid_aside != 0) {
        // Stdout has the report already.
        const Error open(ErrorCode::ApplyErrorsOpen, fmt::format("{} changes", report->laid_aside));
        console.warn(open.explain(console.language()));
        return kExitFailed;
    }
    return kExitDone;
}

}  // namespace

void add_sync_command(Program program) {
    const auto& console = program.console;
    const auto say = [&console](Text text) { return std::string(console.pick(text)); };
    auto* command = program.app.add_subcommand(
        "sync",
        say(
            {"Carry tables from one database to another, then end or follow the log",
             "将表从一个数据库同步到另一个,之后结束或持续跟随日志"}
        )
    );
    const auto arguments = std::make_shared<Arguments>();
    command->add_option("--from", arguments->from, say({"source URL", "源库 URL"}));
    command->add_option("--to", arguments->to, say({"target URL", "目标库 URL"}));
    command->add_option(
        "--table",
        arguments->tables,
        say(
            {"S.T, S.* or *, or S.T=S2.T2 for another name at the target; may be given more than "
             "once",
             "S.T、S.* 或 *;目标端改名写作 S.T=S2.T2;可多次给出"}
        )
    );
    command->add_option(
        "--columns",
        arguments->columns,
        say(
            {"S.T=A,B: only these columns of the table, its key among them",
             "S.T=A,B:只同步该表的这些列,须含主键列"}
        )
    );
    command->add_option(
        "--where",
        arguments->where,
        say(
            {"\"S.T=CONDITION\": only rows that this is true of, in the source's SQL, over the "
             "key's columns (or any, with REPLICA IDENTITY FULL)",
             "\"S.T=条件\":只同步满足条件的行,使用源端 SQL,条件只能引用主键列(REPLICA IDENTITY "
             "FULL "
             "时可引用任意列)"}
        )
    );
    command->add_flag(
        "--create",
        arguments->create,
        say({"make what the tables need at the target", "在目标端创建表所需的一切"})
    );
    command
        ->add_flag(
            "--existing",
            arguments->existing,
            say(
                {"no first load: the target has the rows already; `qiao verify --repair` proves "
                 "them",
                 "不做首次装载:目标端已有数据,由 qiao verify --repair 验证"}
            )
        )
        ->excludes("--create");
    auto* follow = command->add_flag(
        "--follow", arguments->follow, say({"stay and follow the log", "持续跟随日志"})
    );
    auto* once = command->add_flag(
        "--once",
        arguments->once,
        say({"load, catch up, end (the default)", "装载、追平后结束(默认)"})
    );
    auto* drop = command->add_flag(
        "--drop", arguments->drop, say({"remove every trace at both ends", "清除两端的全部痕迹"})
    );
    follow->excludes(once)->excludes(drop);
    once->excludes(drop);
    command->add_option("--state", arguments->state, say({"state folder", "状态目录"}));
    command->add_option("--suite", arguments->suite, say({"gm or intl", "gm 或 intl"}))
        ->check(CLI::IsMember({"gm", "intl"}));
    command
        ->add_option(
            "--readers",
            arguments->readers,
            say({"table parts loaded at the same time", "同时装载的分片数"})
        )
        ->check(CLI::Range(1, 64));
    command
        ->add_option(
            "--value-limit",
            arguments->value_limit_mib,
            say(
                {"MiB of one value; a row with a larger one is refused at the target (memory grows "
                 "with it)",
                 "单个值的上限(MiB);含更大值的行在目标端被拒绝(内存占用随之增加)"}
            )
        )
        ->check(CLI::Range(1, 240));
    command
        ->add_option(
            "--on-error",
            arguments->on_error,
            say(
                {"a row that the target refuses: stop, or lay it aside and go on",
                 "目标端拒绝某行时:stop 停止,aside 搁置该行并继续"}
            )
        )
        ->check(CLI::IsMember({"stop", "aside"}));
    command
        ->add_option(
            "--foreign-changes",
            arguments->foreign_changes,
            say(
                {"a row that both sides have changed: overwrite it, or report it (tables with "
                 "REPLICA IDENTITY FULL)",
                 "两端都修改过的行:overwrite 以源端覆盖,report 报告(需 REPLICA IDENTITY FULL)"}
            )
        )
        ->check(CLI::IsMember({"overwrite", "report"}));
    arguments->timestamp.add_to(*command, console);
    arguments->carried.add_to(*command, console);
    command->add_flag(
        "--json", arguments->json, say({"one object on stdout", "在标准输出给出一个 JSON 对象"})
    );
    command->callback([arguments,
                       command,
                       app = &program.app,
                       &console = program.console,
                       &status = program.exit_status] {
        arguments->version = app->version();
        const auto words = words_of(*arguments, *command, app->version());
        if (const auto wrong = usage_error(*arguments, words); !wrong.empty()) {
            console.fail(Error(ErrorCode::Config, wrong));
            status = kExitUsage;
            return;
        }
        status = arguments->carried.chosen() ? run_carried(arguments->carried, words, console)
                                             : run(*arguments, console);
    });
}

}  // namespace qiao::cli
