#pragma once

#include "qiao/common/error.h"

#include <optional>
#include <string_view>

namespace qiao {

/// The code of this name (`trail.disk_full`), for errors that came as text from another process.
std::optional<ErrorCode> find_error(std::string_view name);

}  // namespace qiao
