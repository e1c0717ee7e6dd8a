#pragma once

#include <string>
#include <string_view>

namespace qiao::testing {

/// The folder of `module`'s golden files in the source tree, an absolute path without a slash at
/// its end. Not made from __FILE__: what the compiler writes there depends on the compiler's cache.
std::string golden_folder(std::string_view module);

}  // namespace qiao::testing
