#pragma once

#include "qiao/common/bytes.h"
#include "qiao/common/error.h"

#include <cstdint>
#include <string_view>

namespace qiao::link::internal {

inline uint16_t wire_code(const Error& error) { return static_cast<uint16_t>(error.code()); }

/// An error that the peer reports, with who said it. A code that our catalogue lacks becomes
/// `fallback`: the peer may be newer.
Error error_from_wire(
    uint16_t code, std::string_view detail, std::string_view peer, ErrorCode fallback
);

}  // namespace qiao::link::internal
