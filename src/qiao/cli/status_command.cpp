#include "qiao/cli/agent_socket.h"
#include "qiao/cli/command.h"
#include "qiao/common/async/event_loop.h"
#include "qiao/common/async/sleep.h"
#include "qiao/common/posix_storage.h"

#include <fmt/format.h>

#include <csignal>
#include <memory>

namespace qiao::cli {
namespace {

constexpr Duration kWatchEvery = std::chrono::seconds(1);

struct Arguments {
    std::string socket, config, retry;
    bool json = false, watch = false, reload = false;
};

Task<Status> show(
    EventLoop& loop, std::string socket, const Arguments& arguments, const Console& console
) {
    if (arguments.json) {
        QIAO_CO_TRY(const auto status, co_await ask_agent(loop, std::move(socket), "status"));
        console.put_json(status.dump());
        co_return Status{};
    }
    const auto* line = console.language() == Language::Chinese ? "text zh" : "text en";
    QIAO_CO_TRY(const auto answer, co_await ask_agent(loop, std::move(socket), line));
    auto text = answer.value("text", "");
    if (text.ends_with('\n')) {
        text.pop_back();
    }
    console.say(arguments.watch ? "\033[H\033[J" + text : text);
    co_return Status{};
}

Task<Status> run(
    EventLoop& loop, Storage& storage, const Arguments& arguments, const Console& console
) {
    QIAO_CO_TRY(
        const auto socket, co_await find_socket(storage, arguments.socket, arguments.config)
    );
    if (arguments.reload) {
        QIAO_CO_TRY(const auto done, co_await ask_agent(loop, socket, "reload"));
        if (arguments.json) {
            console.put_json(done.dump());
        } else {
            console.say(std::string(console.pick(
                {"the agent takes its new settings; links and flows begin anew",
                 "代理已采用新配置;链路与流重新开始"}
            )));
        }
        co_return Status{};
    }
    if (!arguments.retry.empty()) {
        QIAO_CO_TRY(const auto done, co_await ask_agent(loop, socket, "retry " + arguments.retry));
        if (arguments.json) {
            console.put_json(done.dump());
        } else {
            console.say(fmt::format(
                fmt::runtime(console.pick({"flow `{}` starts again", "流 `{}` 重新启动"})),
                arguments.retry
            ));
        }
        co_return Status{};
    }
    StopSignal stop;
    const auto on_signal = [&stop](int) { stop.request(); };
    loop.on_signals({SIGINT, SIGTERM}, on_signal);
    while (true) {
        QIAO_CO_CHECK(co_await show(loop, socket, arguments, console));
        if (!arguments.watch || !co_await sleep_for(loop, loop, kWatchEvery, stop)) {
            co_return Status{};
        }
    }
}

}  // namespace

void add_status_command(Program program) {
    const auto& console = program.console;
    const auto say = [&console](Text text) { return std::string(console.pick(text)); };
    auto* command = program.app.add_subcommand(
        "status",
        say({"Show what an agent does and whether rows move", "查看代理的状态与数据是否流动"})
    );
    const auto arguments = std::make_shared<Arguments>();
    auto* socket = command->add_option(
        "--socket", arguments->socket, say({"the agent's status socket", "代理的状态套接字"})
    );
    auto* config = command->add_option(
        "--config", arguments->config, say({"the agent's configuration", "代理的配置文件"})
    );
    socket->excludes(config);
    auto* retry = command->add_option(
        "--retry", arguments->retry, say({"start this failed flow again", "重新启动该失败的流"})
    );
    command->add_flag(
        "--json", arguments->json, say({"one object on stdout", "在标准输出给出一个 JSON 对象"})
    );
    command->add_flag("--watch", arguments->watch, say({"every second, until Ctrl-C", "每秒刷新"}))
        ->excludes(retry);
    command
        ->add_flag(
            "--reload",
            arguments->reload,
            say(
                {"let the agent read its configuration, keys and certificates again",
                 "让代理重新读取配置、密钥与证书"}
            )
        )
        ->excludes(retry);
    command->callback([arguments, &console = program.console, &status = program.exit_status] {
        console.json = arguments->json;
        EventLoop loop;
        const auto storage = make_posix_storage(loop);
        const auto done = loop.run(run(loop, *storage, *arguments, console));
        if (!done) {
            console.fail(done.error());
            status = done.error().is(ErrorCode::Config) ? kExitUsage : kExitFailed;
        }
    });
}

}  // namespace qiao::cli
