#pragma once

#include "qiao/cli/command.h"
#include "qiao/common/storage.h"

#include <string>

namespace qiao::cli {

// What `qiao trail` does. True: nothing is damaged. Bodies of packets are never shown.

Task<Result<bool>> dump_trail(Storage& storage, std::string folder, const Console& console);
Task<Result<bool>> check_trail(Storage& storage, std::string folder, const Console& console);
Task<Result<bool>> dump_transfer_log(Storage& storage, std::string folder, const Console& console);

}  // namespace qiao::cli
