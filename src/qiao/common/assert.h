#pragma once

#include <source_location>
#include <string_view>

namespace qiao {

/// Ends the process after saying which invariant broke and where. Never returns.
/// For programmer errors only; data from outside gets a Result.
[[noreturn]] void assertion_failed(
    std::string_view expression, std::source_location where = std::source_location::current()
);

}  // namespace qiao

/// An invariant of our own code. On in every build: going on with a broken invariant loses rows.
#define QIAO_ASSERT(expression)                    \
    do {                                           \
        if (!(expression)) [[unlikely]] {          \
            ::qiao::assertion_failed(#expression); \
        }                                          \
    } while (false)
