#include "qiao/common/assert.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

namespace qiao {

void assertion_failed(std::string_view expression, std::source_location where) {
    fmt::print(
        stderr,
        "qiao: broken invariant `{}` at {}:{} in {}\n",
        expression,
        where.file_name(),
        where.line(),
        where.function_name()
    );
    std::fflush(stderr);
    std::abort();
}

}  // namespace qiao
