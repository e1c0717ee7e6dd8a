#pragma once

#include <cstddef>

namespace qiao::sim {

/// What this process has allocated by `new` and not given back, in bytes.
size_t heap_bytes();

}  // namespace qiao::sim
