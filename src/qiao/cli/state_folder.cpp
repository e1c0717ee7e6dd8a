#include "qiao/cli/state_folder.h"

#include <cstdlib>

namespace qiao::cli {
namespace {

std::string state_home() {
    if (const auto* home = std::getenv("XDG_STATE_HOME"); home != nullptr && *home != '\0') {
        return home;
    }
    const auto* home = std::getenv("HOME");
    return std::string(home == nullptr ? "." : home) + "/.local/state";
}

constexpr size_t kNameDigits = 12;

}  // namespace

std::string default_state_folder(StreamId stream) {
    return state_home() + "/qiao/sync-" + stream.to_string().substr(0, kNameDigits);
}

Task<void> remove_state_folder(Storage& storage, std::string path) {
    const auto names = co_await storage.list(path);
    if (!names) {
        co_return;
    }
    for (const auto& name : *names) {
        const auto inner = path + "/" + name;
        co_await remove_state_folder(storage, inner);
        (void)co_await storage.remove(inner);
    }
    (void)co_await storage.remove_folder(path);
}

}  // namespace qiao::cli
