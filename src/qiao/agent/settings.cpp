#include "qiao/agent/settings.h"

#include <fmt/format.h>

namespace qiao::agent {

Task<Result<SharedSettings>> load_settings(Storage& storage, std::string path) {
    const auto settings = std::make_shared<Settings>();
    QIAO_CO_TRY(settings->config, co_await load_config(storage, std::move(path)));
    QIAO_CO_TRY(settings->identity, co_await load_identity(storage, settings->config));
    co_return SharedSettings(settings);
}

Status may_replace(const AgentConfig& now, const AgentConfig& next) {
    const auto http = [](const AgentConfig& config) {
        return config.status.http ? config.status.http->to_string() : std::string();
    };
    const char* fixed = now.node != next.node                     ? "node"
                        : now.state != next.state                 ? "state"
                        : now.status.socket != next.status.socket ? "status.socket"
                        : http(now) != http(next)                 ? "status.http"
                                                                  : nullptr;
    if (fixed == nullptr) {
        return {};
    }
    return Error(
        ErrorCode::Config, fmt::format("`{}` is changed by a new start of the agent only", fixed)
    );
}

}  // namespace qiao::agent
