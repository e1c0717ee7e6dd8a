#pragma once

#include "qiao/common/async/executor.h"
#include "qiao/common/storage.h"

namespace qiao {

/// The real disk. Small reads and writes go to the page cache at once; large ones go past it, and
/// syncs, on the executor's blocking threads. The executor outlives it and its files. ADR 0005
std::unique_ptr<Storage> make_posix_storage(Executor& executor);

}  // namespace qiao
