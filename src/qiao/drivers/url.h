#pragma once

#include "qiao/common/async/task.h"
#include "qiao/common/result.h"
#include "qiao/common/secret.h"
#include "qiao/common/storage.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace qiao::drivers {

/// Where a database is: `postgresql://user@host:port/database?option=value`.
struct DataSourceUrl {
    std::string scheme;  ///< `postgres` is written `postgresql`
    std::string user;
    Secret password;               ///< from the URL or `@file`; empty: the client library finds one
    bool password_in_url = false;  ///< taken, but the user is warned
    std::string password_file;     ///< to be read by resolve_password()
    /// Name, address (without brackets), or folder of a Unix socket (`%2Frun%2Fpg`, or the option
    /// `host`). Several, tried in turn, are separated by commas and share one port.
    std::string host;
    uint16_t port = 0;  ///< 0: the scheme's default
    std::string database;
    std::map<std::string, std::string> options;  ///< without those that have a member here

    /// Percent-decoded. `user:@/path/file@host` or the option `password=@/path/file` names a file
    /// that has the password (an `@` of the path is written `%40`). The options user, password,
    /// host, port and dbname stand for the parts of that name.
    /// Errors: common.config, without the URL's text, because it may hold a password.
    static Result<DataSourceUrl> parse(std::string_view text);

    /// For people, logs and process titles: never the password, nor any option.
    std::string display() const;
};

/// Fills in the password from `password_file`; one in the URL goes first. Without either the client
/// library looks itself: libpq at PGPASSWORD, then at PGPASSFILE or ~/.pgpass.
/// Errors: common.storage_missing, common.storage_io, common.config when the file is empty.
Task<Result<DataSourceUrl>> resolve_password(DataSourceUrl url, Storage& storage);

}  // namespace qiao::drivers
