#pragma once

#include "qiao/common/error.h"

namespace qiao::capture::postgres::internal {

/// What ended a stream of the log. A fault inside the server (SQLSTATE XX000: "could not map
/// filenode" while the transaction that it decodes is being undone) is told as drivers.lost: a new
/// session reads the same log again, and then it is over. Seen on PostgreSQL 15.
inline Error stream_error(const Error& error) {
    const bool inside = error.is(ErrorCode::DbStatement) &&
                        error.detail().find("SQLSTATE XX000") != std::string::npos;
    return inside ? Error(ErrorCode::DbLost, error.detail()) : error;
}

}  // namespace qiao::capture::postgres::internal
