#include "qiao/drivers/postgres/sqlstate.h"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

namespace qiao::drivers::postgres {
namespace {

struct Mapping {
    std::string_view prefix;  ///< a whole SQLSTATE, or the start of a class
    ErrorCode code;
};

/// The first that fits wins, so whole states stand before their class.
constexpr auto kMappings = std::to_array<Mapping>({
    {"08", ErrorCode::DbLost},
    {"57P03", ErrorCode::DbConnect},
    {"57P04", ErrorCode::DbNoDatabase},
    {"57P", ErrorCode::DbLost},
    {"57014", ErrorCode::DeadlinePassed},
    {"25P03", ErrorCode::DbLost},
    {"25006", ErrorCode::DbSetting},
    {"28", ErrorCode::DbAuthentication},
    {"3D000", ErrorCode::DbNoDatabase},
    {"3F000", ErrorCode::DbNoTable},
    {"42P01", ErrorCode::DbNoTable},
    {"42703", ErrorCode::DbNoTable},
    {"42501", ErrorCode::DbPrivilege},
    {"22", ErrorCode::DbValue},
    {"54", ErrorCode::DbValue},
    {"23", ErrorCode::DbConstraint},
    {"44000", ErrorCode::DbConstraint},
    {"P0001", ErrorCode::DbConstraint},
    {"40003", ErrorCode::DbLost},
    {"40", ErrorCode::DbSerialization},
    {"55P03", ErrorCode::DbSerialization},
    {"72000", ErrorCode::DbSerialization},
    {"53", ErrorCode::DbResource},
    {"58030", ErrorCode::DbResource},
    {"55006", ErrorCode::DbInUse},
    {"55", ErrorCode::DbSetting},
});

std::string one_line(std::string_view text) {
    std::string line;
    for (const char c : text) {
        const bool space = c == '\n' || c == '\t' || c == ' ';
        if (!space) {
            line += c;
        } else if (!line.empty() && line.back() != ' ') {
            line += ' ';
        }
    }
    while (!line.empty() && line.back() == ' ') {
        line.pop_back();
    }
    return line;
}

std::string_view field(const pg_result* result, int code) {
    const char* text = PQresultErrorField(result, code);
    return text == nullptr ? std::string_view() : std::string_view(text);
}

bool is_state_character(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); }

/// Where the state of a verbose message stands: `FATAL:  28P01: password …`.
std::optional<size_t> find_state(std::string_view message) {
    constexpr std::string_view kBefore = ":  ";
    constexpr size_t kLength = 5;
    for (auto at = message.find(kBefore); at != std::string_view::npos;
         at = message.find(kBefore, at + 1)) {
        const auto rest = message.substr(at + kBefore.size());
        if (rest.substr(0, kLength + 2).ends_with(": ") && rest.size() > kLength + 2 &&
            std::ranges::all_of(rest.substr(0, kLength), is_state_character)) {
            return at + kBefore.size();
        }
    }
    return std::nullopt;
}

}  // namespace

ErrorCode error_code(std::string_view sqlstate) {
    const auto fits = [sqlstate](const Mapping& row) { return sqlstate.starts_with(row.prefix); };
    const auto row = std::ranges::find_if(kMappings, fits);
    return row == kMappings.end() ? ErrorCode::DbStatement : row->code;
}

std::string without_values(std::string_view sqlstate, std::string_view message) {
    if (sqlstate == "P0001") {
        return "raised by a trigger or function of the database; its log has the message";
    }
    if (!sqlstate.starts_with("22")) {
        return one_line(message);
    }
    // Servers that speak another language quote in other ways.
    const bool plain = std::ranges::all_of(message, [](unsigned char c) { return c < 0x80; });
    const auto first = message.find('"');
    if (first == std::string_view::npos) {
        return plain ? one_line(message) : std::string("a value was refused");
    }
    const auto last = message.rfind('"');
    const auto head = message.substr(0, first);
    const auto tail = first == last ? std::string_view() : message.substr(last + 1);
    const auto is_ascii = [](unsigned char c) { return c < 0x80; };
    if (!std::ranges::all_of(head, is_ascii) || !std::ranges::all_of(tail, is_ascii)) {
        return "a value was refused";
    }
    return one_line(fmt::format("{}\"…\"{}", head, tail));
}

Error error_of(const pg_result* result) {
    const auto state = field(result, PG_DIAG_SQLSTATE);
    if (state.empty()) {
        return {ErrorCode::DbLost, one_line(PQresultErrorMessage(result))};
    }
    auto detail = without_values(state, field(result, PG_DIAG_MESSAGE_PRIMARY));
    const auto table = field(result, PG_DIAG_TABLE_NAME);
    const auto add = [&detail](std::string_view what, std::string_view name) {
        if (!name.empty()) {
            detail += fmt::format(", {} {}", what, name);
        }
    };
    if (!table.empty()) {
        add("table", fmt::format("{}.{}", field(result, PG_DIAG_SCHEMA_NAME), table));
    }
    add("column", field(result, PG_DIAG_COLUMN_NAME));
    add("constraint", field(result, PG_DIAG_CONSTRAINT_NAME));
    add("SQLSTATE", state);
    return {error_code(state), detail};
}

Error connect_error(std::string_view verbose_message, ErrorCode otherwise) {
    auto code = otherwise;
    std::string text(verbose_message.substr(0, verbose_message.find("\nLOCATION:")));
    if (const auto at = find_state(text)) {
        code = error_code(text.substr(*at, 5));
        // A server that is starting or going down is one that cannot be reached now.
        code = code == ErrorCode::DbLost ? otherwise : code;
        text.erase(*at, 7);
    }
    return {code, one_line(text)};
}

Error error_of(const pg_conn* connection, bool connecting) {
    const auto otherwise = connecting ? ErrorCode::DbConnect : ErrorCode::DbLost;
    if (connecting && PQconnectionNeedsPassword(connection) != 0) {
        return {ErrorCode::DbAuthentication, one_line(PQerrorMessage(connection))};
    }
    return connect_error(PQerrorMessage(connection), otherwise);
}

}  // namespace qiao::drivers::postgres
