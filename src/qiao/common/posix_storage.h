#pragma once

#include "qiao/common/async/executor.h"
#include "qiao/common/storage.h"

namespace qiao {

/// The real disk. Reads and writes go to the page cache at once; syncs run on the executor's
/// blocking threads. The executor outlives it and its files.
std::unique_ptr<Storage> make_posix_storage(Executor& executor);

}  // namespace qiao
