#include "qiao/agent/agent.h"
#include "qiao/agent/status_server.h"
#include "qiao/cli/command.h"
#include "qiao/common/async/event_loop.h"
#include "qiao/common/async/unix_socket.h"
#include "qiao/common/posix_storage.h"

#include <fmt/format.h>

#include <csignal>
#include <memory>

namespace qiao::cli {
namespace {

void warn_of_passwords(const agent::AgentConfig& config, const Console& console) {
    for (const auto& flow : config.flows) {
        if (flow.database.password_in_url) {
            console.warn(fmt::format(
                fmt::runtime(console.pick(
                    {"warning: flow `{}` has its password in the configuration; use "
                     "user:@FILE@host, PGPASSFILE or PGPASSWORD",
                     "警告:流 `{}` 的密码写在配置文件中;请改用 user:@文件@主机、PGPASSFILE 或 "
                     "PGPASSWORD"}
                )),
                flow.name
            ));
        }
    }
}

/// The agent with all that it stands on, for the length of one run.
Task<Status> serve(
    EventLoop& loop,
    Storage& storage,
    const agent::AgentConfig& config,
    const Console& console,
    std::string version
) {
    QIAO_CO_TRY(const auto identity, co_await agent::load_identity(storage, config));
    link::TlsAuthenticator authenticator(loop, *identity.tls);
    agent::RealDatabases databases({loop, loop, loop}, system_rng());
    agent::Agent agent(
        {loop, loop, system_rng(), storage, loop.transport(), authenticator, databases},
        config,
        identity,
        std::move(version)
    );
    StopSignal stop;
    const auto on_signal = [&stop](int) { stop.request(); };
    loop.on_signals({SIGINT, SIGTERM}, on_signal);

    QIAO_CO_CHECK(co_await storage.make_folder(config.state));
    QIAO_CO_TRY(const auto socket, listen_unix(loop, config.status.socket));
    std::unique_ptr<Listener> http;
    if (config.status.http) {
        QIAO_CO_TRY(http, loop.transport().listen(*config.status.http));
    }
    agent::StatusServer for_socket(loop, loop, agent);
    agent::StatusServer for_http(loop, loop, agent);
    TaskScope scope(loop);
    scope.spawn(for_socket.serve_socket(*socket, scope.stop()));
    if (http) {
        scope.spawn(for_http.serve_http(*http, scope.stop()));
    }
    console.say(fmt::format(
        fmt::runtime(console.pick(
            {"node `{}` runs; status: qiao status --socket {}",
             "节点 `{}` 已启动;查看状态:qiao status --socket {}"}
        )),
        config.node,
        config.status.socket
    ));
    const auto ended = co_await agent.run(stop);
    scope.request_stop();
    co_await scope.join();
    co_return ended;
}

Task<Status> run(
    EventLoop& loop, Storage& storage, std::string path, const Console& console, std::string version
) {
    QIAO_CO_TRY(const auto config, co_await agent::load_config(storage, std::move(path)));
    warn_of_passwords(config, console);
    co_return co_await serve(loop, storage, config, console, std::move(version));
}

}  // namespace

void add_agent_command(Program program) {
    const auto& console = program.console;
    auto* command = program.app.add_subcommand(
        "agent",
        std::string(console.pick(
            {"Run this node: its links and flows, until a signal",
             "运行本节点的链路与流,直至收到信号"}
        ))
    );
    const auto path = std::make_shared<std::string>();
    command
        ->add_option(
            "--config", *path, std::string(console.pick({"configuration file", "配置文件"}))
        )
        ->required();
    const auto* app = &program.app;
    command->callback([path, app, &console = program.console, &status = program.exit_status] {
        EventLoop loop;
        const auto storage = make_posix_storage(loop);
        const auto ended = loop.run(run(loop, *storage, *path, console, app->version()));
        if (!ended) {
            console.fail(ended.error());
            status =
                ended.error().info().error_class == ErrorClass::Usage ? kExitUsage : kExitFailed;
        }
    });
}

}  // namespace qiao::cli
