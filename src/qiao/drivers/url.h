#pragma once

#include "qiao/common/result.h"
#include "qiao/common/secret.h"

#include <cstdint>
#include <map>
#include <string>

namespace qiao::drivers {

/// Where a database is: `postgresql://user@host:port/database?option=value`.
struct DataSourceUrl {
    std::string scheme;
    std::string user;
    Secret password;  ///< from the URL, `@file`, PGPASSFILE or the environment; may be empty
    bool password_in_url = false;  ///< taken, but the user is warned
    std::string host;              ///< name, address, or folder of a Unix socket
    uint16_t port = 0;             ///< 0: the scheme's default
    std::string database;
    std::map<std::string, std::string> options;

    /// Percent-decoded. `password=@/path/file` in the options, or `user:@/path/file@host`, reads the
    /// password from a file later (password_file). Errors: common.config, without the password.
    static Result<DataSourceUrl> parse(std::string_view text);

    std::string password_file;

    /// For people, logs and process titles: never the password.
    std::string display() const;
};

}  // namespace qiao::drivers
