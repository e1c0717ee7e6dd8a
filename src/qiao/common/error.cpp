#include "qiao/common/error.h"

#include "qiao/common/assert.h"
#include "qiao/common/error_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace qiao {
namespace {

constexpr auto kCatalogue = std::to_array<ErrorInfo>({
#define QIAO_ERROR(number, ident, name, error_class, cause_en, next_en, cause_zh, next_zh) \
    {ErrorCode::ident, name, ErrorClass::error_class, cause_en, next_en, cause_zh, next_zh},
#include "qiao/common/error_codes.def"
#undef QIAO_ERROR
});

}  // namespace

std::string_view ErrorInfo::cause(Language language) const {
    return language == Language::Chinese ? cause_zh : cause_en;
}

std::string_view ErrorInfo::next_step(Language language) const {
    return language == Language::Chinese ? next_zh : next_en;
}

const ErrorInfo& describe(ErrorCode code) {
    const auto row = std::ranges::find(kCatalogue, code, &ErrorInfo::code);
    QIAO_ASSERT(row != kCatalogue.end());
    return *row;
}

std::optional<ErrorCode> find_error(std::string_view name) {
    const auto row = std::ranges::find(kCatalogue, name, &ErrorInfo::name);
    return row == kCatalogue.end() ? std::nullopt : std::optional(row->code);
}

Error Error::within(std::string_view context) const {
    return {
        code_, detail_.empty() ? std::string(context) : fmt::format("{}: {}", context, detail_)
    };
}

std::string Error::to_string() const {
    return detail_.empty() ? std::string(info().name) : fmt::format("{}: {}", info().name, detail_);
}

std::string Error::explain(Language language) const {
    const auto& row = info();
    const bool chinese = language == Language::Chinese;
    auto text =
        fmt::format("{} {}: {}\n", chinese ? "错误" : "error", row.name, row.cause(language));
    if (!detail_.empty()) {
        text += fmt::format("  {}: {}\n", chinese ? "详情" : "detail", detail_);
    }
    text += fmt::format("  {}: {}\n", chinese ? "下一步" : "next", row.next_step(language));
    return text;
}

}  // namespace qiao
