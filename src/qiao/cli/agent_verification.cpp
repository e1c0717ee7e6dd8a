#include "qiao/cli/agent_verification.h"

#include "qiao/cli/agent_socket.h"
#include "qiao/cli/verify_progress.h"
#include "qiao/common/async/sleep.h"

#include <csignal>

namespace qiao::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr Duration kAskEvery = std::chrono::milliseconds(200);

agent::ComparisonProgress progress_of(const Json& answer) {
    agent::ComparisonProgress progress;
    const auto told = answer.value("progress", Json::object());
    progress.tables = told.value("tables", size_t{0});
    progress.tables_done = told.value("tables_done", size_t{0});
    progress.table = told.value("table", "");
    progress.rows_read = told.value("rows_read", uint64_t{0});
    progress.phase = told.value("phase", "") == "repairing"
                         ? agent::ComparisonProgress::Phase::Repairing
                         : agent::ComparisonProgress::Phase::Comparing;
    return progress;
}

}  // namespace

CLI::Option* AgentFlow::add_to(CLI::App& command, const Console& console) {
    const auto say = [&console](Text text) { return std::string(console.pick(text)); };
    auto* of_flow = command.add_option(
        "--flow",
        flow,
        say(
            {"a flow of the source's agent; each agent reaches its own database",
             "源端代理的数据流名;两端代理各自访问自己的数据库"}
        )
    );
    auto* of_socket = command.add_option(
        "--socket", socket, say({"the agent's status socket", "代理的状态套接字"})
    );
    auto* of_config = command.add_option(
        "--config", config, say({"the agent's configuration", "代理的配置文件"})
    );
    of_socket->excludes(of_config)->needs(of_flow);
    of_config->needs(of_flow);
    return of_flow;
}

Task<Result<Json>> watch_verification(
    EventLoop& loop,
    const Console& console,
    std::string socket,
    Json request,
    std::function<void(const Json& answer)> look
) {
    QIAO_CO_TRY(const auto started, co_await ask_agent(loop, socket, "verify " + request.dump()));
    const auto run = started.value("run", "");
    StopSignal stop;
    const auto on_signal = [&stop](int) { stop.request(); };
    loop.on_signals({SIGINT, SIGTERM, SIGHUP}, on_signal);
    VerifyProgress progress(loop, console);
    agent::ComparisonProgress newest;
    const auto stands = [&newest]() { return std::optional(newest); };
    progress.start(stands);
    Result<Json> answer = Json::object();
    bool cancelled = false;
    // As long as the agent compares; a signal cancels it, and its last answer is still waited for.
    while (true) {
        answer = co_await ask_agent(loop, socket, "verification " + run);
        if (!answer || answer->value("done", false)) {
            break;
        }
        newest = progress_of(*answer);
        if (look) {
            look(*answer);
        }
        StopSignal never;
        const auto waited = co_await sleep_for(loop, loop, kAskEvery, cancelled ? never : stop);
        if (!waited) {
            cancelled = true;
            answer = co_await ask_agent(loop, socket, "cancel " + run);
        }
    }
    co_await progress.finish();
    if (!answer && answer.error().is(ErrorCode::VerifyNoRun)) {
        // Nothing was asked for wrongly: the comparison went with the agent that made it.
        co_return Error(ErrorCode::AgentNotRunning, "it was started again during the comparison");
    }
    co_return answer;
}

}  // namespace qiao::cli
