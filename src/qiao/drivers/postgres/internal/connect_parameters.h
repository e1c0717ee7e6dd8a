#pragma once

#include "qiao/common/result.h"
#include "qiao/drivers/postgres/connection.h"
#include "qiao/drivers/url.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace qiao::drivers::postgres::internal {

/// Keywords and values for libpq, of a URL and our own options. Holds the password: never printed.
class ConnectParameters {
public:
    /// Options of the URL that libpq knows are passed through (sslmode, sslrootcert, keepalives …).
    /// Errors: common.config, naming the option.
    static Result<ConnectParameters> make(const DataSourceUrl& url, const ConnectOptions& options);
    ~ConnectParameters();
    ConnectParameters(ConnectParameters&&) = default;
    ConnectParameters(const ConnectParameters&) = delete;
    ConnectParameters& operator=(const ConnectParameters&) = delete;

    /// Starts connecting to one host at `address` (empty: libpq's way), without waiting.
    pg_conn* start(const std::string& host, const std::string& address) const;
    /// Of the URL's option `connect_timeout`, in seconds.
    std::optional<Duration> connect_timeout() const;
    /// For tests; empty when not set.
    std::string value(std::string_view keyword) const;

private:
    ConnectParameters() = default;
    void set(std::string_view keyword, std::string value);
    void set_default(std::string_view keyword, std::string value);

    std::vector<std::pair<std::string, std::string>> values_;
};

/// `-c name=value …` for the start-up packet, with spaces and backslashes escaped.
std::string startup_options(const std::vector<std::pair<std::string, std::string>>& settings);

}  // namespace qiao::drivers::postgres::internal
