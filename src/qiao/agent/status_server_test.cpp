#include "qiao/agent/status_server.h"

#include "qiao/common/async/event_loop.h"
#include "qiao/common/async/unix_socket.h"
#include "qiao/common/posix_storage.h"
#include "qiao/link/plain_authenticator.h"
#include "qiao/testing/temp_folder.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace qiao::agent {
namespace {

class NoDatabases final : public Databases {
public:
    Result<std::unique_ptr<capture::DataSource>> source(
        const FlowConfig& /*flow*/, StopSignal& /*stop*/
    ) override {
        return Error(ErrorCode::Config);
    }

    Task<Result<std::unique_ptr<drivers::TableReader>>> reader(
        const FlowConfig& /*flow*/, StopSignal& /*stop*/
    ) override {
        co_return Error(ErrorCode::Config, "nothing to compare");
    }

    Result<Target> target(const FlowConfig& /*flow*/, StopSignal& /*stop*/) override {
        return Error(ErrorCode::Config);
    }
};

/// An agent without flows, its servers on a real socket and a real port.
class Served {
public:
    Served() { settings->config.node = "city"; }

    using Question = Task<Result<std::string>> (*)(Served& served);

    std::string ask(Question question) {
        const auto answer = loop.run(serve(question));
        EXPECT_TRUE(answer) << answer.error().to_string();
        return answer.value_or("");
    }

    Task<Result<std::string>> serve(Question question) {
        QIAO_CO_TRY(const auto socket, listen_unix(loop, path()));
        QIAO_CO_TRY(const auto http, loop.transport().listen({"127.0.0.1", 0}));
        port = http->local().port;
        StatusServer for_socket(loop, loop, agent);
        StatusServer for_http(loop, loop, agent);
        TaskScope scope(loop);
        scope.spawn(for_socket.serve_socket(*socket, scope.stop()));
        scope.spawn(for_http.serve_http(*http, scope.stop()));
        auto answer = co_await question(*this);
        scope.request_stop();
        co_await scope.join();
        co_return answer;
    }

    std::string path() const { return folder / "s"; }

    Task<Result<SharedSettings>> reread() { co_return next; }

    Task<Result<std::string>> ask_line(std::string line) {
        QIAO_CO_TRY(const auto connection, co_await connect_unix(loop, path()));
        co_return co_await ask_agent(*connection, std::move(line));
    }

    Task<Result<std::string>> ask_http(std::string request) {
        StopSignal never;
        const Endpoint to{"127.0.0.1", port};
        QIAO_CO_TRY(
            const auto connection, co_await loop.transport().connect(to, Deadline::never(), never)
        );
        QIAO_CO_CHECK(co_await connection->write_all(as_bytes(request)));
        std::string answer;
        Bytes buffer(4096);
        while (const auto got = co_await connection->read_some(buffer)) {
            answer += as_text(ByteView(buffer).first(*got));
        }
        co_return answer;
    }

    testing::TempFolder folder;
    EventLoop loop;
    uint16_t port = 0;
    std::unique_ptr<Storage> storage = make_posix_storage(loop);
    std::shared_ptr<Settings> settings = std::make_shared<Settings>();
    NoDatabases databases;
    link::PlainAuthenticator authenticator{loop, "city"};
    Result<SharedSettings> next = Error(ErrorCode::Config, "city.yaml:3");
    Agent agent{
        {loop, loop, system_rng(), *storage, loop.transport(), authenticator, databases},
        settings,
        "9.9",
        [this]() -> Task<Result<SharedSettings>> { return reread(); }
    };
};

TEST(StatusServer, AnswersEachQuestionWithOneJsonObject) {
    Served served;
    const auto status =
        nlohmann::json::parse(served.ask([](Served& it) { return it.ask_line("status"); }));
    EXPECT_EQ(status["node"], "city");
    EXPECT_EQ(status["version"], "9.9");
    EXPECT_GT(status["resident_bytes"], 1'000'000);
    const auto text =
        nlohmann::json::parse(served.ask([](Served& it) { return it.ask_line("text zh"); }));
    EXPECT_NE(text["text"].get<std::string>().find("节点 city"), std::string::npos);
    const auto retry =
        nlohmann::json::parse(served.ask([](Served& it) { return it.ask_line("retry persons"); }));
    EXPECT_EQ(retry["error"]["code"], "agent.no_flow");
    const auto nonsense =
        nlohmann::json::parse(served.ask([](Served& it) { return it.ask_line("dump"); }));
    EXPECT_EQ(nonsense["error"]["code"], "common.config");
}

TEST(StatusServer, ShowsItsFiguresOverHttpAlsoToManyAtOnce) {
    Served served;
    const auto answer =
        served.ask([](Served& it) { return it.ask_http("GET /metrics HTTP/1.1\r\n\r\n"); });
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK"));
    EXPECT_NE(answer.find("qiao_info{node=\"city\",version=\"9.9\"} 1\n"), std::string::npos);
}

Task<Result<std::string>> say_nothing_then_ask(Served& served) {
    // Others that connect and stay silent are cut in their time and hold up nobody.
    std::vector<std::unique_ptr<Connection>> silent;
    for (int i = 0; i < 20; ++i) {
        QIAO_CO_TRY(auto connection, co_await connect_unix(served.loop, served.path()));
        silent.push_back(std::move(connection));
    }
    auto answer = co_await served.ask_line("status");
    for (auto& connection : silent) {
        connection->close();
    }
    co_return answer;
}

TEST(StatusServer, SilentConnectionsHoldUpNobody) {
    Served served;
    EXPECT_TRUE(nlohmann::json::accept(served.ask(say_nothing_then_ask)));
}

// Spec: R-32
TEST(StatusServer, SaysWhetherNewSettingsAreTaken) {
    Served served;
    const auto reload = [](Served& it) { return it.ask_line("reload"); };
    const auto status = [](Served& it) { return it.ask_line("status"); };
    auto answer = nlohmann::json::parse(served.ask(reload));
    EXPECT_EQ(answer["error"]["detail"], "city.yaml:3");
    auto shown = nlohmann::json::parse(served.ask(status))["settings"];
    EXPECT_EQ(shown["refused"]["detail"], "city.yaml:3");

    const auto other = std::make_shared<Settings>();
    other->config.node = "village";
    served.next = SharedSettings(other);
    answer = nlohmann::json::parse(served.ask(reload));
    EXPECT_EQ(answer["error"]["detail"], "`node` is changed by a new start of the agent only");

    const auto newer = std::make_shared<Settings>();
    newer->config.node = "city";
    served.next = SharedSettings(newer);
    EXPECT_EQ(nlohmann::json::parse(served.ask(reload))["reloaded"], true);
    shown = nlohmann::json::parse(served.ask(status))["settings"];
    EXPECT_TRUE(shown["refused"].is_null());
}

}  // namespace
}  // namespace qiao::agent
