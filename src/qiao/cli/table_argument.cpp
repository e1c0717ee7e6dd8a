#include "qiao/cli/table_argument.h"

#include "qiao/drivers/postgres/catalogue.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::cli {
namespace {

Result<model::TableName> one_table(const std::string& text) {
    QIAO_TRY(const auto pattern, drivers::postgres::TablePattern::parse(text));
    if (!pattern.schema || !pattern.name) {
        return Error(ErrorCode::Config, "one table is meant here, not " + text);
    }
    return model::TableName{*pattern.schema, *pattern.name};
}

/// The equals sign behind a table's name; npos: there is none outside quotes.
size_t find_equals(const std::string& text) {
    bool quoted = false;
    for (size_t i = 0; i < text.size(); ++i) {
        quoted = quoted != (text[i] == '"');
        if (text[i] == '=' && !quoted) {
            return i;
        }
    }
    return std::string::npos;
}

/// `S.T=what`. Errors: common.config.
Result<std::pair<model::TableName, std::string>> table_and_rest(
    const char* option, const std::string& text
) {
    const auto mark = find_equals(text);
    if (mark == std::string::npos) {
        return Error(ErrorCode::Config, fmt::format("{}: write S.T=…, not {}", option, text));
    }
    QIAO_TRY(auto table, one_table(text.substr(0, mark)));
    return std::pair(std::move(table), text.substr(mark + 1));
}

std::vector<std::string> names_in(std::string_view list) {
    std::vector<std::string> names;
    while (!list.empty()) {
        const auto comma = list.find(',');
        auto name = list.substr(0, comma);
        name.remove_prefix(std::min(name.find_first_not_of(' '), name.size()));
        name = name.substr(0, name.find_last_not_of(' ') + 1);
        if (!name.empty()) {
            names.emplace_back(name);
        }
        list = comma == std::string_view::npos ? "" : list.substr(comma + 1);
    }
    return names;
}

}  // namespace

Result<model::Selection> read_selection(
    const std::vector<std::string>& columns, const std::vector<std::string>& conditions
) {
    model::Selection selection;
    for (const auto& text : columns) {
        QIAO_TRY(const auto chosen, table_and_rest("--columns", text));
        selection[chosen.first].columns = names_in(chosen.second);
    }
    for (const auto& text : conditions) {
        QIAO_TRY(const auto chosen, table_and_rest("--where", text));
        selection[chosen.first].where = chosen.second;
    }
    return selection;
}

Status read_table(const std::string& text, agent::SyncOptions& options) {
    const auto mark = find_equals(text);
    options.tables.push_back(text.substr(0, mark));
    if (mark == std::string::npos) {
        return {};
    }
    QIAO_TRY(auto source, one_table(options.tables.back()));
    QIAO_TRY(auto target, one_table(text.substr(mark + 1)));
    for (const auto& [other, renamed] : options.names.tables()) {
        if (renamed.table == target) {
            return Error(ErrorCode::Config, "--table: two tables become " + target.to_string());
        }
    }
    options.names.rename(std::move(source), {std::move(target), {}});
    return {};
}

}  // namespace qiao::cli
