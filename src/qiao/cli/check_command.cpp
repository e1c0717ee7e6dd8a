#include "qiao/cli/check_databases.h"
#include "qiao/cli/check_link.h"
#include "qiao/cli/check_report.h"
#include "qiao/cli/command.h"
#include "qiao/cli/timestamp_arguments.h"
#include "qiao/common/async/event_loop.h"
#include "qiao/common/posix_storage.h"

#include <memory>

namespace qiao::cli {
namespace {

constexpr int kExitUnknown = 2;

struct Arguments {
    std::string from, to, state, link, config;
    std::vector<std::string> tables;
    bool json = false;
    TimestampArguments timestamp;
};

Task<Result<std::optional<drivers::DataSourceUrl>>> read_url(Storage& storage, std::string text) {
    if (text.empty()) {
        co_return std::optional<drivers::DataSourceUrl>();
    }
    QIAO_CO_TRY(auto url, drivers::DataSourceUrl::parse(text));
    QIAO_CO_TRY(auto resolved, co_await drivers::resolve_password(std::move(url), storage));
    if (resolved.scheme != "postgresql") {
        co_return Error(ErrorCode::Config, resolved.scheme + ":// cannot be checked yet");
    }
    co_return std::optional(std::move(resolved));
}

Task<Status> run(
    EventLoop& loop, Storage& storage, const Arguments& arguments, CheckReport& report
) {
    DatabaseCheck check;
    QIAO_CO_TRY(check.from, co_await read_url(storage, arguments.from));
    QIAO_CO_TRY(check.to, co_await read_url(storage, arguments.to));
    check.tables = arguments.tables;
    check.state = arguments.state;
    check.timed = arguments.timestamp.choice();
    co_await check_databases(loop, storage, std::move(check), report);
    if (!arguments.link.empty()) {
        QIAO_CO_TRY(const auto to, Endpoint::parse(arguments.link));
        // The passwords of its databases are not needed here.
        QIAO_CO_TRY(const auto content, co_await read_file(storage, arguments.config));
        QIAO_CO_TRY(const auto config, agent::parse_config(as_text(content), arguments.config));
        co_await check_link(loop, storage, config, to, report);
    }
    co_return Status{};
}

}  // namespace

void add_check_command(Program program) {
    const auto& console = program.console;
    const auto say = [&console](Text text) { return std::string(console.pick(text)); };
    auto* command = program.app.add_subcommand(
        "check",
        say(
            {"Look whether all is ready, and say what mends what is not",
             "检查是否就绪,并给出整改方法"}
        )
    );
    const auto arguments = std::make_shared<Arguments>();
    auto* from = command->add_option("--from", arguments->from, say({"source URL", "源库 URL"}));
    command->add_option("--to", arguments->to, say({"target URL", "目标库 URL"}));
    command
        ->add_option(
            "--table",
            arguments->tables,
            say(
                {"S.T, S.* or *, S.T=S2.T2; may be given more than once",
                 "S.T、S.*、* 或 S.T=S2.T2;可多次给出"}
            )
        )
        ->needs(from);
    command->add_option("--state", arguments->state, say({"state folder", "状态目录"}));
    auto* config = command->add_option(
        "--config", arguments->config, say({"an agent's configuration", "代理的配置文件"})
    );
    command
        ->add_option(
            "--link", arguments->link, say({"HOST:PORT of another agent", "对端代理的 主机:端口"})
        )
        ->needs(config);
    arguments->timestamp.add_to(*command, console);
    command->add_flag(
        "--json", arguments->json, say({"one object on stdout", "在标准输出给出一个 JSON 对象"})
    );
    command->callback([arguments, &console = program.console, &status = program.exit_status] {
        console.json = arguments->json;
        if (arguments->from.empty() && arguments->to.empty() && arguments->link.empty()) {
            console.fail(Error(ErrorCode::Config, "--from, --to or --link"));
            status = kExitUsage;
            return;
        }
        if (const auto wrong = arguments->timestamp.usage_error(false); !wrong.empty()) {
            console.fail(Error(ErrorCode::Config, wrong));
            status = kExitUsage;
            return;
        }
        EventLoop loop;
        const auto storage = make_posix_storage(loop);
        CheckReport report;
        const auto done = loop.run(run(loop, *storage, *arguments, report));
        if (!done) {
            console.fail(done.error());
            status = kExitUnknown;
            return;
        }
        report.show(console);
        status = report.exit_status();
    });
}

}  // namespace qiao::cli
