#include "qiao/agent/verify_run.h"
#include "qiao/cli/agent_socket.h"
#include "qiao/cli/agent_verification.h"
#include "qiao/cli/command.h"
#include "qiao/cli/progress.h"
#include "qiao/cli/state_folder.h"
#include "qiao/cli/table_argument.h"
#include "qiao/common/posix_storage.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <csignal>
#include <memory>

namespace qiao::cli {
namespace {

struct Arguments {
    std::string from, to, state, suite = "gm";
    AgentFlow agent;
    std::vector<std::string> tables;
    bool json = false;
};

/// The steps of one switchover; an end before the last one is an error.
class Switchover {
public:
    Switchover(
        EventLoop& loop, Storage& storage, const Arguments& arguments, const Console& console
    )
        : loop_(loop), storage_(storage), arguments_(arguments), console_(console) {}

    Task<Status> run() {
        loop_.on_signals({SIGINT, SIGTERM, SIGHUP}, [this](int) { stop_.request(); });
        QIAO_CO_CHECK(co_await read_arguments());
        QIAO_CO_TRY(const auto first, co_await sync());
        say({"1/3 caught up: {} rows loaded, {} changes, {} sequences",
             "1/3 已追平:装载 {} 行,{} 条变更,{} 个序列"},
            first.rows_loaded,
            first.rows_applied,
            first.sequences);
        QIAO_CO_CHECK((co_await sync_at_rest()));  // differences would only be what is late
        QIAO_CO_CHECK(co_await compare());
        QIAO_CO_TRY(const auto last, co_await sync_at_rest());
        say({"3/3 nothing was written meanwhile; applications may go to {}",
             "3/3 期间没有新的写入;应用可以切换到 {}"},
            options_.to.display());
        if (arguments_.json) {
            const nlohmann::json object{
                {"ready", true},
                {"tables", last.flow.tables.size()},
                {"sequences", last.sequences},
                {"at", last.caught_up_to.to_string()}
            };
            console_.put_json(object.dump());
        }
        co_return Status{};
    }

private:
    template <class... Values>
    void say(Text text, const Values&... values) {
        console_.say(fmt::format(fmt::runtime(console_.pick(text)), values...));
    }

    Task<Status> read_arguments() {
        for (auto [text, url] :
             {std::pair(arguments_.from, &options_.from), std::pair(arguments_.to, &options_.to)}) {
            QIAO_CO_TRY(auto parsed, drivers::DataSourceUrl::parse(text));
            QIAO_CO_TRY(*url, co_await drivers::resolve_password(std::move(parsed), storage_));
        }
        for (const auto& table : arguments_.tables) {
            QIAO_CO_CHECK(read_table(table, options_));
        }
        options_.suite = arguments_.suite;
        QIAO_CO_TRY(const auto stream, agent::sync_stream(options_));
        options_.state = arguments_.state.empty() ? default_state_folder(stream) : arguments_.state;
        co_return Status{};
    }

    Task<Result<agent::SyncReport>> sync() {
        agent::SyncRun run(loop_, storage_, system_rng(), options_);
        const StopSignal::Hook hook(stop_, [&run] { run.stop(); });
        Progress progress(loop_, console_, run);
        progress.start();
        auto report = co_await run.run();
        co_await progress.finish();
        QIAO_CO_CHECK(report);
        if (report->laid_aside != 0) {
            co_return Error(
                ErrorCode::ApplyErrorsOpen, fmt::format("{} changes", report->laid_aside)
            );
        }
        if (report->flow.created && !report->flow.created->failed.empty()) {
            const auto& failed = report->flow.created->failed.front();
            co_return Error(ErrorCode::DbStatement, failed.object + ": " + failed.error);
        }
        co_return report;
    }

    /// Brings nothing, or the source is still written to.
    Task<Result<agent::SyncReport>> sync_at_rest() {
        auto report = co_await sync();
        if (report && report->rows_applied != 0) {
            co_return Error(
                ErrorCode::CliStillWritten,
                fmt::format("{} changes since it had caught up", report->rows_applied)
            );
        }
        co_return report;
    }

    Task<Status> compare() {
        agent::VerifyRunOptions options;
        options.sync = options_;
        agent::VerifyRun run(loop_, storage_, system_rng(), std::move(options));
        const StopSignal::Hook hook(stop_, [&run] { run.stop(); });
        const auto report = co_await run.run();
        QIAO_CO_CHECK(report);
        if (report->report.exit_code() != 0) {
            co_return Error(
                ErrorCode::CliNotEqual,
                fmt::format("{} tables compared", report->report.tables.size())
            );
        }
        say({"2/3 compared, field by field: equal", "2/3 已逐字段比对:一致"});
        co_return Status{};
    }

    EventLoop& loop_;
    Storage& storage_;
    const Arguments& arguments_;
    const Console& console_;
    agent::SyncOptions options_;
    StopSignal stop_;
};

/// The source's agent does it, and asks the target's over the link.
Task<Status> switch_over_by_agent(
    EventLoop& loop, Storage& storage, const Arguments& arguments, const Console& console
) {
    QIAO_CO_TRY(
        const auto socket,
        co_await find_socket(storage, arguments.agent.socket, arguments.agent.config)
    );
    bool told = false;
    const auto tell_settled = [&told, &console](const nlohmann::ordered_json& answer) {
        if (!told && answer.contains("settled")) {
            told = true;
            console.say(fmt::format(
                fmt::runtime(console.pick({"1/3 caught up: {} sequences", "1/3 已追平:{} 个序列"})),
                answer["settled"].value("sequences", size_t{0})
            ));
        }
    };
    const nlohmann::ordered_json request{{"flow", arguments.agent.flow}, {"switchover", true}};
    QIAO_CO_TRY(
        const auto answer, co_await watch_verification(loop, console, socket, request, tell_settled)
    );
    tell_settled(answer);
    const auto tables = answer["report"].value("tables", nlohmann::ordered_json::array()).size();
    if (answer.value("exit_code", kExitFailed) != 0) {
        co_return Error(ErrorCode::CliNotEqual, fmt::format("{} tables compared", tables));
    }
    console.say(console.pick({"2/3 compared, field by field: equal", "2/3 已逐字段比对:一致"}));
    console.say(console.pick(
        {"3/3 nothing was written meanwhile; applications may go to the target",
         "3/3 期间没有新的写入;应用可以切换到目标端"}
    ));
    if (arguments.json) {
        const auto settled = answer.value("settled", nlohmann::ordered_json::object());
        const nlohmann::json object{
            {"ready", true},
            {"tables", tables},
            {"sequences", settled.value("sequences", size_t{0})},
            {"at", settled.value("at", "")}
        };
        console.put_json(object.dump());
    }
    co_return Status{};
}

std::string usage_error(const Arguments& arguments) {
    const bool by_agent = !arguments.agent.flow.empty();
    if (by_agent == !arguments.from.empty()) {
        return "--flow, or --from, --to and --table";
    }
    return !by_agent && arguments.tables.empty() ? "--table" : "";
}

int run(const Arguments& arguments, Console& console) {
    console.json = arguments.json;
    if (const auto wrong = usage_error(arguments); !wrong.empty()) {
        console.fail(Error(ErrorCode::Config, wrong));
        return kExitUsage;
    }
    EventLoop loop;
    const auto storage = make_posix_storage(loop);
    Switchover here(loop, *storage, arguments, console);
    auto task = arguments.agent.flow.empty()
                    ? here.run()
                    : switch_over_by_agent(loop, *storage, arguments, console);
    const auto done = loop.run(std::move(task));
    if (done) {
        return kExitDone;
    }
    console.fail(done.error());
    return done.error().info().error_class == ErrorClass::Usage ? kExitUsage : kExitFailed;
}

}  // namespace

void add_switchover_command(Program program) {
    const auto& console = program.console;
    const auto say = [&console](Text text) { return std::string(console.pick(text)); };
    auto* command = program.app.add_subcommand(
        "switchover",
        say(
            {"Make the target ready to take the source's place: catch up, set sequences, prove "
             "that "
             "both are equal and at rest",
             "使目标端可以接替源端:追平、设置序列,并证明两端一致且源端已停写"}
        )
    );
    const auto arguments = std::make_shared<Arguments>();
    auto* from = command->add_option("--from", arguments->from, say({"source URL", "源库 URL"}));
    auto* to = command->add_option("--to", arguments->to, say({"target URL", "目标库 URL"}));
    from->needs(to);
    to->needs(from);
    command
        ->add_option(
            "--table", arguments->tables, say({"as `qiao sync` was told", "与 qiao sync 相同"})
        )
        ->needs(from);
    arguments->agent.add_to(*command, console)->excludes(from);
    command->add_option("--state", arguments->state, say({"state folder", "状态目录"}));
    command->add_option("--suite", arguments->suite, say({"gm or intl", "gm 或 intl"}))
        ->check(CLI::IsMember({"gm", "intl"}));
    command->add_flag(
        "--json", arguments->json, say({"one object on stdout", "在标准输出给出一个 JSON 对象"})
    );
    command->callback([arguments, &console = program.console, &status = program.exit_status] {
        status = run(*arguments, console);
    });
}

}  // namespace qiao::cli
