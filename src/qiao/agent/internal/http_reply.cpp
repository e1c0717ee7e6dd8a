#include "qiao/agent/internal/http_reply.h"

#include <boost/beast/http.hpp>

#include <sstream>

// The only file of this module that includes Beast.
namespace qiao::agent::internal {
namespace {

namespace http = boost::beast::http;

constexpr uint32_t kHeaderBytesMost = 8192;

std::string write(http::status status, std::string body, unsigned version) {
    http::response<http::string_body> response{status, version};
    response.set(http::field::content_type, "text/plain; version=0.0.4; charset=utf-8");
    response.set(http::field::cache_control, "no-store");
    response.keep_alive(false);
    response.body() = std::move(body);
    response.prepare_payload();
    std::ostringstream out;
    out << response;
    return std::move(out).str();
}

}  // namespace

std::optional<std::string> http_reply(std::string_view request, const std::string& metrics) {
    http::request_parser<http::empty_body> parser;
    parser.header_limit(kHeaderBytesMost);
    parser.eager(true);
    boost::system::error_code failure;
    parser.put(boost::asio::buffer(request.data(), request.size()), failure);
    if (failure == http::error::need_more) {
        return std::nullopt;
    }
    if (failure) {
        return write(http::status::bad_request, "not a request\n", 11);
    }
    if (!parser.is_header_done()) {
        return std::nullopt;
    }
    const auto& asked = parser.get();
    const auto target = asked.target().substr(0, asked.target().find('?'));
    if (target != "/metrics") {
        return write(http::status::not_found, "ask for /metrics\n", asked.version());
    }
    if (asked.method() != http::verb::get) {
        return write(http::status::method_not_allowed, "only GET\n", asked.version());
    }
    return write(http::status::ok, metrics, asked.version());
}

}  // namespace qiao::agent::internal
