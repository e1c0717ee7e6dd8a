#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace qiao {

/// Who can mend it, and whether waiting helps. Retry decisions read this, never a text.
enum class ErrorClass : uint8_t {
    Transient,    ///< goes away by itself: retried, bounded, never skipped
    Environment,  ///< disk, grants, settings, network: paused until an operator mends it
    Data,         ///< this row or packet cannot be taken: quarantine or error chain
    Security,     ///< refused on purpose; never retried by itself
    Usage,        ///< the command or configuration is wrong
};

/// Every error that a user can meet, declared once in error_codes.def.
enum class ErrorCode : uint16_t {
#define QIAO_ERROR(number, ident, name, error_class, cause_en, next_en, cause_zh, next_zh) \
    ident = number,
#include "qiao/common/error_codes.def"
#undef QIAO_ERROR
};

enum class Language : uint8_t { English, Chinese };

/// The catalogue's row of a code.
struct ErrorInfo {
    ErrorCode code;
    std::string_view name;  ///< `trail.disk_full`
    ErrorClass error_class;
    std::string_view cause_en, next_en, cause_zh, next_zh;

    std::string_view cause(Language language) const;
    std::string_view next_step(Language language) const;
};

const ErrorInfo& describe(ErrorCode code);

/// A failure as a value: catalogue code plus what was being done, innermost first.
/// The detail may hold names, numbers and server messages, never row values or secrets.
class Error {
public:
    Error(ErrorCode code, std::string detail) : code_(code), detail_(std::move(detail)) {}

    explicit Error(ErrorCode code) : code_(code) {}

    ErrorCode code() const { return code_; }

    const std::string& detail() const { return detail_; }

    const ErrorInfo& info() const { return describe(code_); }

    bool is(ErrorCode code) const { return code_ == code; }

    bool transient() const { return info().error_class == ErrorClass::Transient; }

    /// Adds what the layer above was doing: "apply orders#17: …". Once per layer.
    Error within(std::string_view context) const;

    /// `trail.disk_full: <detail>` on one line, for logs.
    std::string to_string() const;
    /// Code, cause, detail and next step over several lines, for people.
    std::string explain(Language language) const;

private:
    ErrorCode code_;
    std::string detail_;
};

}  // namespace qiao
