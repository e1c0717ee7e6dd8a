#include "qiao/cli/agent_socket.h"

#include "qiao/agent/config.h"
#include "qiao/agent/status_server.h"
#include "qiao/common/async/unix_socket.h"
#include "qiao/common/error_name.h"

namespace qiao::cli {

Task<Result<std::string>> find_socket(Storage& storage, std::string socket, std::string config) {
    if (!socket.empty()) {
        co_return socket;
    }
    if (config.empty()) {
        co_return Error(ErrorCode::Config, "--socket or --config");
    }
    // Its passwords are not asked for: whoever looks at a status may not read them.
    QIAO_CO_TRY(const auto content, co_await read_file(storage, config));
    QIAO_CO_TRY(const auto parsed, agent::parse_config(as_text(content), config));
    co_return parsed.status.socket;
}

Task<Result<nlohmann::ordered_json>> ask_agent(
    EventLoop& loop, std::string socket, std::string line
) {
    const auto connection = co_await connect_unix(loop, socket);
    if (!connection) {
        co_return Error(ErrorCode::AgentNotRunning, connection.error().detail());
    }
    QIAO_CO_TRY(const auto text, co_await agent::ask_agent(**connection, std::move(line)));
    auto answer = nlohmann::ordered_json::parse(text, nullptr, false);
    if (answer.is_discarded() || !answer.is_object()) {
        co_return Error(ErrorCode::AgentNotRunning, "the answer is not JSON");
    }
    if (answer.contains("error") && answer["error"].is_object()) {
        const auto& error = answer["error"];
        const auto code = find_error(error.value("code", ""));
        co_return Error(code.value_or(ErrorCode::Config), error.value("detail", ""));
    }
    co_return answer;
}

}  // namespace qiao::cli
