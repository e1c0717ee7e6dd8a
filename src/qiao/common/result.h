#pragma once

#include "qiao/common/error.h"

#include <expected>
#include <utility>

namespace qiao {

/// A value or the Error that stands in its place. Cannot be dropped silently.
template <class T>
class [[nodiscard]] Result : public std::expected<T, Error> {
public:
    using std::expected<T, Error>::expected;

    Result(Error error) : std::expected<T, Error>(std::unexpected(std::move(error))) {}

    Result(ErrorCode code, std::string detail) : Result(Error(code, std::move(detail))) {}
};

using Status = Result<void>;

}  // namespace qiao

#define QIAO_CONCAT_(a, b) a##b
#define QIAO_CONCAT(a, b) QIAO_CONCAT_(a, b)

/// `QIAO_TRY(auto x, f());` binds the value, or returns the error from a plain function.
#define QIAO_TRY(declaration, expression) \
    QIAO_TRY_(QIAO_CONCAT(qiao_try_, __COUNTER__), return, declaration, expression)
/// The same inside a coroutine.
#define QIAO_CO_TRY(declaration, expression) \
    QIAO_TRY_(QIAO_CONCAT(qiao_try_, __COUNTER__), co_return, declaration, expression)
#define QIAO_TRY_(name, return_word, declaration, expression) \
    auto name = (expression);                                 \
    if (!name) {                                              \
        return_word std::move(name).error();                  \
    }                                                         \
    declaration = *std::move(name)

/// For Status: goes on, or returns the error.
#define QIAO_CHECK(expression) \
    QIAO_CHECK_(QIAO_CONCAT(qiao_check_, __COUNTER__), return, expression)
#define QIAO_CO_CHECK(expression) \
    QIAO_CHECK_(QIAO_CONCAT(qiao_check_, __COUNTER__), co_return, expression)
#define QIAO_CHECK_(name, return_word, expression) \
    if (auto name = (expression); !name) {         \
        return_word std::move(name).error();       \
    }
