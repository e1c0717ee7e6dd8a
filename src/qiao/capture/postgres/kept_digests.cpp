#include "qiao/capture/postgres/kept_digests.h"

#include <nlohmann/json.hpp>

namespace qiao::capture::postgres {

Task<Digests> KeptDigests::load() {
    Digests digests;
    const auto content = co_await read_file(storage_, path_);
    if (!content) {
        co_return digests;
    }
    const auto all = nlohmann::json::parse(as_text(*content), nullptr, false);
    for (const auto& one : all.is_array() ? all : nlohmann::json::array()) {
        if (one.is_array() && one.size() == 3 && one[0].is_string() && one[1].is_string() &&
            one[2].is_string()) {
            digests[{one[0], one[1]}] = one[2];
        }
    }
    co_return digests;
}

Task<Status> KeptDigests::keep(const Digests& digests) {
    auto all = nlohmann::json::array();
    for (const auto& [table, digest] : digests) {
        all.push_back({table.schema, table.name, digest});
    }
    const auto text = all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    return write_file_atomically(storage_, path_, to_bytes(as_bytes(text)));
}

}  // namespace qiao::capture::postgres
