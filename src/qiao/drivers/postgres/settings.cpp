#include "qiao/drivers/postgres/connection.h"

namespace qiao::drivers::postgres {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

/// Text forms that are the same whatever the role's or the database's own settings are.
Settings text_form_settings() {
    return {
        {"datestyle", "ISO"},
        {"intervalstyle", "postgres"},
        {"extra_float_digits", "3"},
        {"bytea_output", "hex"},
        {"lc_monetary", "C"},
    };
}

void add_session_settings(Settings& settings) {
    settings.insert(
        settings.end(),
        {
            {"search_path", ""},
            {"timezone", "UTC"},
            {"default_transaction_isolation", "read committed"},
            {"default_transaction_deferrable", "off"},
            {"idle_session_timeout", "0"},
            // Compiling our questions to the catalogue takes longer than answering them.
            {"jit", "off"},
        }
    );
}

}  // namespace

std::vector<std::pair<std::string, std::string>> replication_settings() {
    auto settings = text_form_settings();
    settings.insert(
        settings.end(),
        {{"timezone", "UTC"},
         {"statement_timeout", "0"},
         {"lock_timeout", "0"},
         {"idle_session_timeout", "0"}}
    );
    return settings;
}

std::vector<std::pair<std::string, std::string>> target_settings() {
    auto settings = text_form_settings();
    add_session_settings(settings);
    settings.insert(
        settings.end(),
        {
            {"default_transaction_read_only", "off"},
            // A statement of ours may wait for a big index, but a lock not for ever, and a pipeline
            // that hangs between two statements must not hold rows of the target locked.
            {"statement_timeout", "1h"},
            {"lock_timeout", "60s"},
            {"idle_in_transaction_session_timeout", "10min"},
            {"xmloption", "content"},
            {"row_security", "on"},
        }
    );
    return settings;
}

std::vector<std::pair<std::string, std::string>> reader_settings() {
    auto settings = text_form_settings();
    add_session_settings(settings);
    settings.insert(
        settings.end(),
        {
            {"default_transaction_read_only", "on"},
            {"statement_timeout", "0"},
            {"lock_timeout", "60s"},
            {"idle_in_transaction_session_timeout", "10min"},
            // An error is better than rows that a policy hides without a word.
            {"row_security", "off"},
        }
    );
    return settings;
}

std::string quote_identifier(std::string_view name) {
    std::string quoted = "\"";
    for (const char c : name) {
        quoted += c;
        if (c == '"') {
            quoted += c;
        }
    }
    return quoted + '"';
}

std::string quote_literal(std::string_view text) {
    const bool escapes = text.find('\\') != std::string_view::npos;
    std::string quoted = escapes ? " E'" : "'";
    for (const char c : text) {
        quoted += c;
        if (c == '\'' || c == '\\') {
            quoted += c;
        }
    }
    return quoted + '\'';
}

}  // namespace qiao::drivers::postgres
