#include "qiao/link/internal/wire_error.h"

#include <fmt/format.h>

namespace qiao::link::internal {
namespace {

bool in_catalogue(uint16_t code) {
    switch (code) {
#define QIAO_ERROR(number, ident, name, error_class, cause_en, next_en, cause_zh, next_zh) \
    case number:                                                                           \
        return true;
#include "qiao/common/error_codes.def"
#undef QIAO_ERROR
        default:
            return false;
    }
}

}  // namespace

Error error_from_wire(
    uint16_t code, std::string_view detail, std::string_view peer, ErrorCode fallback
) {
    if (in_catalogue(code)) {
        return {static_cast<ErrorCode>(code), fmt::format("{}: {}", peer, detail)};
    }
    return {fallback, fmt::format("{}: code {}: {}", peer, code, detail)};
}

}  // namespace qiao::link::internal
