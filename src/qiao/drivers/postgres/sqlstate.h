#pragma once

#include "qiao/common/error.h"

#include <string>
#include <string_view>

struct pg_conn;
struct pg_result;

namespace qiao::drivers::postgres {

/// The catalogue code that fits a SQLSTATE; drivers.statement for those that nothing fits better.
ErrorCode error_code(std::string_view sqlstate);

/// A server message without the values that it may quote. Messages of class 22 repeat the value
/// that they refuse, and those raised by user code (P0001) may hold anything.
std::string without_values(std::string_view sqlstate, std::string_view message);

/// The error of a failed result: message, SQLSTATE, and table, column and constraint where told;
/// never DETAIL or CONTEXT, which quote rows.
Error error_of(const pg_result* result);

/// The error of a connection that failed on the client's side, or while it was made.
/// The SQLSTATE is found in a message of PQERRORS_VERBOSE. Errors: drivers.connect when there is
/// none and `connecting`, else drivers.lost.
Error error_of(const pg_conn* connection, bool connecting);

/// The pure part of it: what of a verbose connection message is shown, and its code.
Error connect_error(std::string_view verbose_message, ErrorCode otherwise);

}  // namespace qiao::drivers::postgres
