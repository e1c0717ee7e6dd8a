#pragma once

#include "qiao/common/id.h"
#include "qiao/common/storage.h"

#include <string>

namespace qiao::cli {

/// `$XDG_STATE_HOME/qiao/sync-<12 hex>`, or below `~/.local/state`.
std::string default_state_folder(StreamId stream);

/// Removes the folder with everything in it, if it is there.
Task<void> remove_state_folder(Storage& storage, std::string path);

}  // namespace qiao::cli
