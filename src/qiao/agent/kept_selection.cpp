#include "qiao/agent/kept_selection.h"

#include <nlohmann/json.hpp>

namespace qiao::agent {
namespace {

const std::vector<std::string> kAllColumns{"*"};
constexpr std::string_view kAllRows = "true";

std::string file_in(const std::string& folder) { return folder + "/selection.json"; }

Result<model::Selection> parse(std::string_view text, const std::string& path) {
    const auto all = nlohmann::json::parse(text, nullptr, false);
    model::Selection selection;
    try {
        for (const auto& one : all) {
            const model::TableName table{one.at("schema"), one.at("table")};
            selection[table] = {one.at("columns"), one.at("where")};
        }
    } catch (const nlohmann::json::exception&) {
        return Error(ErrorCode::Config, path + " is damaged");
    }
    return selection;
}

std::string to_text(const model::Selection& selection) {
    auto all = nlohmann::json::array();
    for (const auto& [table, chosen] : selection) {
        all.push_back(
            {{"schema", table.schema},
             {"table", table.name},
             {"columns", chosen.columns},
             {"where", chosen.where}}
        );
    }
    return all.dump() + "\n";
}

}  // namespace

Task<Result<model::Selection>> merge_selection(
    Storage& storage, std::string folder, model::Selection given
) {
    const auto path = file_in(folder);
    model::Selection selection;
    const auto content = co_await read_file(storage, path);
    if (content) {
        QIAO_CO_TRY(selection, parse(as_text(*content), path));
    } else if (!content.error().is(ErrorCode::StorageMissing)) {
        co_return content.error();
    }
    for (auto& [table, chosen] : given) {
        auto& kept = selection[table];
        if (!chosen.columns.empty()) {
            kept.columns = chosen.columns == kAllColumns ? std::vector<std::string>()
                                                         : std::move(chosen.columns);
        }
        if (!chosen.where.empty()) {
            kept.where = chosen.where == kAllRows ? "" : std::move(chosen.where);
        }
        if (kept == model::TableSelection{}) {
            selection.erase(table);
        }
    }
    co_return selection;
}

Task<Result<model::Selection>> keep_selection(
    Storage& storage, std::string folder, model::Selection given
) {
    const bool anew = !given.empty();
    QIAO_CO_TRY(auto selection, co_await merge_selection(storage, folder, std::move(given)));
    if (anew) {
        const auto text = to_text(selection);
        QIAO_CO_CHECK(
            co_await write_file_atomically(storage, file_in(folder), to_bytes(as_bytes(text)))
        );
    }
    co_return selection;
}

}  // namespace qiao::agent
