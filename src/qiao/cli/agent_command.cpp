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

Task<void> reload(agent::Agent& agent, std::string path, const Console& console) {
    const auto done = co_await agent.reload();
    if (done) {
        console.say(fmt::format(
            fmt::runtime(console.pick({"new settings from {}", "已采用 {} 的新配置"})), path
        ));
    } else {
        console.fail(done.error());
    }
}

/// The agent with all that it stands on, for the length of one run.
Task<Status> serve(
    EventLoop& loop, Storage& storage, std::string path, const Console& console, std::string version
) {
    QIAO_CO_TRY(const auto settings, co_await agent::load_settings(storage, path));
    const auto& config = settings->config;
    warn_of_passwords(config, console);
    link::TlsAuthenticator authenticator(loop, *settings->identity.tls);
    agent::RealDatabases databases({loop, loop, loop}, system_rng(), storage, config.state);
    agent::Agent agent(
        {loop,
         loop,
         system_rng(),
         storage,
         loop.transport(),
         authenticator,
         databases,
         [&authenticator](const agent::Identity& identity) { authenticator.use(*identity.tls); }},
        settings,
        std::move(version),
        [&storage, path] { return agent::load_settings(storage, path); }
    );
    StopSignal stop;
    TaskScope scope(loop);
    const auto on_signal = [&](int signal) {
        if (signal == SIGHUP) {
            scope.spawn(reload(agent, path, console));
        } else {
            stop.request();
        }
    };
    loop.on_signals({SIGINT, SIGTERM, SIGHUP}, on_signal);

    QIAO_CO_CHECK(co_await storage.make_folder(config.state));
    QIAO_CO_TRY(const auto socket, listen_unix(loop, config.status.socket));
    std::unique_ptr<Listener> http;
    if (config.status.http) {
        QIAO_CO_TRY(http, loop.transport().listen(*config.status.http));
    }
    agent::StatusServer for_socket(loop, loop, agent);
    agent::StatusServer for_http(loop, loop, agent);
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
        const auto ended = loop.run(serve(loop, *storage, *path, console, app->version()));
        if (!ended) {
            console.fail(ended.error());
            status =
                ended.error().info().error_class == ErrorClass::Usage ? kExitUsage : kExitFailed;
        }
    });
}

}  // namespace qiao::cli
