#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace qiao::agent::internal {

/// The answer to the bytes of one HTTP request; none: more bytes are needed.
/// `metrics` is the body of `GET /metrics`; everything else is refused.
std::optional<std::string> http_reply(std::string_view request, const std::string& metrics);

}  // namespace qiao::agent::internal
