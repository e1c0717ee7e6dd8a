#include "qiao/agent/kept_names.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace qiao::agent {
namespace {

std::string file_in(const std::string& folder) { return folder + "/names.json"; }

Result<model::Mapping> parse(std::string_view text, const std::string& path) {
    const auto damaged = [&path] { return Error(ErrorCode::Config, path + " is damaged"); };
    const auto all = nlohmann::json::parse(text, nullptr, false);
    if (!all.is_array()) {
        return damaged();
    }
    model::Mapping names;
    for (const auto& one : all) {
        const bool four = one.is_array() && one.size() == 4 && one[0].is_string() &&
                          one[1].is_string() && one[2].is_string() && one[3].is_string();
        if (!four) {
            return damaged();
        }
        names.rename({one[0], one[1]}, {{one[2], one[3]}, {}});
    }
    return names;
}

std::string to_text(const model::Mapping& names) {
    auto all = nlohmann::json::array();
    for (const auto& [from, to] : names.tables()) {
        all.push_back({from.schema, from.name, to.table.schema, to.table.name});
    }
    return all.dump() + "\n";
}

}  // namespace

Task<Result<model::Mapping>> merge_names(
    Storage& storage, std::string folder, model::Mapping given
) {
    const auto path = file_in(folder);
    const auto content = co_await read_file(storage, path);
    if (!content) {
        if (!content.error().is(ErrorCode::StorageMissing)) {
            co_return content.error();
        }
        co_return given;
    }
    QIAO_CO_TRY(auto names, parse(as_text(*content), path));
    for (const auto& [from, to] : given.tables()) {
        const auto before = names.tables().find(from);
        if (before != names.tables().end() && before->second.table != to.table) {
            co_return Error(
                ErrorCode::Config,
                fmt::format(
                    "{} went to {} so far, not to {}: --drop first",
                    from.to_string(),
                    before->second.table.to_string(),
                    to.table.to_string()
                )
            );
        }
        names.rename(from, to);
    }
    co_return names;
}

Task<Result<model::Mapping>> keep_names(
    Storage& storage, std::string folder, model::Mapping given
) {
    QIAO_CO_TRY(auto names, co_await merge_names(storage, folder, std::move(given)));
    if (!names.empty()) {
        const auto text = to_text(names);
        QIAO_CO_CHECK(
            co_await write_file_atomically(storage, file_in(folder), to_bytes(as_bytes(text)))
        );
    }
    co_return names;
}

}  // namespace qiao::agent
