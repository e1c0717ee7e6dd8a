#include "qiao/common/transport.h"

#include <fmt/format.h>

#include <charconv>

namespace qiao {

std::string Endpoint::to_string() const {
    return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                               : fmt::format("[{}]:{}", host, port);
}

Result<Endpoint> Endpoint::parse(std::string_view text) {
    const auto colon = text.rfind(':');
    Endpoint endpoint;
    if (colon != std::string_view::npos) {
        auto host = text.substr(0, colon);
        if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
            host = host.substr(1, host.size() - 2);
        }
        endpoint.host = host;
        const auto digits = text.substr(colon + 1);
        const auto [end, failure] =
            std::from_chars(digits.data(), digits.data() + digits.size(), endpoint.port);
        if (failure == std::errc() && end == digits.data() + digits.size()) {
            return endpoint;
        }
    }
    return Error(ErrorCode::Config, fmt::format("`{}` is not HOST:PORT", text));
}

}  // namespace qiao
