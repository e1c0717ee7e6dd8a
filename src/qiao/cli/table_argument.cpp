#include "qiao/cli/table_argument.h"

#include "qiao/drivers/postgres/catalogue.h"

namespace qiao::cli {
namespace {

Result<model::TableName> one_table(const std::string& text) {
    QIAO_TRY(const auto pattern, drivers::postgres::TablePattern::parse(text));
    if (!pattern.schema || !pattern.name) {
        return Error(ErrorCode::Config, "--table: only one table can be renamed, not " + text);
    }
    return model::TableName{*pattern.schema, *pattern.name};
}

/// The equals sign between two names; npos: there is none outside quotes.
size_t find_rename(const std::string& text) {
    bool quoted = false;
    for (size_t i = 0; i < text.size(); ++i) {
        quoted = quoted != (text[i] == '"');
        if (text[i] == '=' && !quoted) {
            return i;
        }
    }
    return std::string::npos;
}

}  // namespace

Status read_table(const std::string& text, agent::SyncOptions& options) {
    const auto mark = find_rename(text);
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
