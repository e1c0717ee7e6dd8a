#pragma once

#include "qiao/common/storage.h"

#include <string>
#include <string_view>

namespace qiao::cli {

/// Writes a file that must not be there, mode 0600, durable. A failed write leaves none. Errors:
/// cli.file_exists, common.storage_*.
Task<Status> write_new_file(Storage& storage, std::string path, Bytes content);

/// Whether it is there; for a look at all names before the first is written.
Task<Status> must_be_new(Storage& storage, std::string path);

}  // namespace qiao::cli
