#include "qiao/drivers/postgres/internal/connect_parameters.h"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>

namespace qiao::drivers::postgres::internal {
namespace {

/// What the URL says elsewhere, or what is ours to say.
constexpr std::array kReserved = {
    std::string_view("host"),
    std::string_view("hostaddr"),
    std::string_view("port"),
    std::string_view("dbname"),
    std::string_view("user"),
    std::string_view("password"),
    std::string_view("options"),
    std::string_view("replication"),
    std::string_view("service"),
    std::string_view("client_encoding"),
};

bool known_to_libpq(const std::string& keyword) {
    const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> all(
        PQconndefaults(), &PQconninfoFree
    );
    for (const auto* option = all.get(); option != nullptr && option->keyword != nullptr;
         ++option) {
        if (keyword == option->keyword) {
            return true;
        }
    }
    return false;
}

}  // namespace

std::string startup_options(const std::vector<std::pair<std::string, std::string>>& settings) {
    std::string options;
    for (const auto& [name, value] : settings) {
        options += options.empty() ? "-c " : " -c ";
        options += name;
        options += '=';
        for (const char c : value) {
            if (c == ' ' || c == '\\') {
                options += '\\';
            }
            options += c;
        }
    }
    return options;
}

Result<ConnectParameters> ConnectParameters::make(
    const DataSourceUrl& url, const ConnectOptions& options
) {
    ConnectParameters parameters;
    for (const auto& [name, value] : url.options) {
        const bool reserved = std::ranges::find(kReserved, name) != kReserved.end();
        if (reserved || !known_to_libpq(name)) {
            return Error(
                ErrorCode::Config, fmt::format("{}: unknown option {}", url.display(), name)
            );
        }
        parameters.set(name, value);
    }
    parameters.set("port", url.port == 0 ? std::string() : std::to_string(url.port));
    parameters.set("dbname", url.database);
    parameters.set("user", url.user);
    parameters.set("password", std::string(url.password.reveal_text()));
    parameters.set("client_encoding", "UTF8");
    parameters.set_default("application_name", options.application_name);
    parameters.set("options", startup_options(options.settings));
    if (options.replication) {
        parameters.set("replication", "database");
    }
    // A peer that vanished without a word is noticed in about a minute.
    parameters.set_default("keepalives_idle", "30");
    parameters.set_default("keepalives_interval", "10");
    parameters.set_default("keepalives_count", "3");
    parameters.set_default("tcp_user_timeout", "60000");
    return parameters;
}

ConnectParameters::~ConnectParameters() {
    for (auto& [keyword, value] : values_) {
        wipe(std::as_writable_bytes(std::span(value.data(), value.size())));
    }
}

void ConnectParameters::set(std::string_view keyword, std::string value) {
    if (!value.empty()) {
        values_.emplace_back(keyword, std::move(value));
    }
}

void ConnectParameters::set_default(std::string_view keyword, std::string value) {
    if (this->value(keyword).empty()) {
        set(keyword, std::move(value));
    }
}

std::string ConnectParameters::value(std::string_view keyword) const {
    const auto found = std::ranges::find(values_, keyword, [](const auto& pair) {
        return std::string_view(pair.first);
    });
    return found == values_.end() ? std::string() : found->second;
}

std::optional<Duration> ConnectParameters::connect_timeout() const {
    const auto text = value("connect_timeout");
    int64_t seconds = 0;
    std::from_chars(text.data(), text.data() + text.size(), seconds);
    return seconds > 0 ? std::optional<Duration>(std::chrono::seconds(seconds)) : std::nullopt;
}

pg_conn* ConnectParameters::start(const std::string& host, const std::string& address) const {
    std::vector<const char*> keywords;
    std::vector<const char*> values;
    for (const auto& [keyword, value] : values_) {
        keywords.push_back(keyword.c_str());
        values.push_back(value.c_str());
    }
    const auto add = [&](const char* keyword, const std::string& value) {
        if (!value.empty()) {
            keywords.push_back(keyword);
            values.push_back(value.c_str());
        }
    };
    add("host", host);
    add("hostaddr", address);
    keywords.push_back(nullptr);
    values.push_back(nullptr);
    return PQconnectStartParams(keywords.data(), values.data(), 0);
}

}  // namespace qiao::drivers::postgres::internal
