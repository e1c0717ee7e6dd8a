#pragma once

#include "qiao/common/error.h"

namespace qiao::cli {

/// As EX_OSERR of sysexits.h: whoever started the process may start it again.
constexpr int kExitOutOfMemory = 71;

/// From here on an allocation that fails ends the process at once, with code and next step on
/// stderr and kExitOutOfMemory. Nothing is unwound and nothing more is written: what is on disk is
/// what a kill leaves, from which every restart is exact (docs/adr/0023-out-of-memory.md).
void end_when_out_of_memory(Language language);

}  // namespace qiao::cli
