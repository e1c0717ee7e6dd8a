#include "qiao/drivers/url.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <vector>

namespace qiao::drivers {
namespace {

Error malformed(std::string_view why) {
    return {ErrorCode::Config, fmt::format("database URL: {}", why)};
}

std::optional<unsigned> hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return static_cast<unsigned>(c - '0');
    }
    const char lower = static_cast<char>(c | 0x20);
    if (lower >= 'a' && lower <= 'f') {
        return static_cast<unsigned>(lower - 'a') + 10;
    }
    return std::nullopt;
}

Result<std::string> decode(std::string_view text) {
    std::string plain;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            plain += text[i];
            continue;
        }
        const auto high = i + 2 < text.size() ? hex_digit(text[i + 1]) : std::nullopt;
        const auto low = high ? hex_digit(text[i + 2]) : std::nullopt;
        if (!low || (*high == 0 && *low == 0)) {
            return malformed("% must be followed by two hexadecimal digits, not 00");
        }
        plain += static_cast<char>(*high * 16 + *low);
        i += 2;
    }
    return plain;
}

/// Cuts `text` at the first `mark`: what stands before it; `text` keeps what follows.
std::string_view cut(std::string_view& text, std::string_view mark) {
    const auto at = text.find(mark);
    const auto head = text.substr(0, at);
    text = at == std::string_view::npos ? std::string_view() : text.substr(at + mark.size());
    return head;
}

Result<uint16_t> parse_port(std::string_view text) {
    uint16_t port = 0;
    const auto* const end = text.data() + text.size();
    const auto [stop, failure] = std::from_chars(text.data(), end, port);
    if (failure != std::errc() || stop != end || port == 0) {
        return malformed("the port is a number from 1 to 65535");
    }
    return port;
}

Status set_password(DataSourceUrl& url, std::string_view encoded) {
    QIAO_TRY(auto plain, decode(encoded));
    if (plain.starts_with('@')) {
        url.password_file = plain.substr(1);
        if (url.password_file.empty()) {
            return malformed("the password file after @ has no name");
        }
        return {};
    }
    url.password = Secret(plain);
    url.password_in_url = !plain.empty();
    wipe(std::as_writable_bytes(std::span(plain)));
    return {};
}

Status parse_user(DataSourceUrl& url, std::string_view text) {
    const bool has_password = text.find(':') != std::string_view::npos;
    QIAO_TRY(url.user, decode(cut(text, ":")));
    return has_password ? set_password(url, text) : Status{};
}

/// `name`, `name:port`, `[address]:port`.
Status parse_host(DataSourceUrl& url, std::string_view text) {
    std::string_view name;
    if (text.starts_with('[')) {
        const auto end = text.find(']');
        if (end == std::string_view::npos) {
            return malformed("an IPv6 address ends with ]");
        }
        name = text.substr(1, end - 1);
        text.remove_prefix(end + 1);
        if (!text.empty() && text.front() != ':') {
            return malformed("after ] comes the port or nothing");
        }
    } else {
        name = text.substr(0, text.find(':'));
        text.remove_prefix(name.size());
        if (text.find(':', 1) != std::string_view::npos) {
            return malformed("an IPv6 address stands in brackets");
        }
    }
    QIAO_TRY(const auto host, decode(name));
    uint16_t port = 0;
    if (!text.empty()) {
        QIAO_TRY(port, parse_port(text.substr(1)));
    }
    const bool first = url.host.empty();
    if (!first && port != url.port) {
        return malformed("several hosts share one port");
    }
    url.host += first ? host : "," + host;
    url.port = port;
    return {};
}

Status parse_hosts(DataSourceUrl& url, std::string_view text) {
    while (!text.empty()) {
        QIAO_CHECK(parse_host(url, cut(text, ",")));
    }
    return {};
}

/// Takes user, password and hosts off the front of `rest`.
Status parse_authority(DataSourceUrl& url, std::string_view& rest) {
    const auto path = rest.find_first_of("/?");
    const auto head = rest.substr(0, path);
    // `user:@/file@host`: the file's path is not the URL's.
    if (head.ends_with(":@") && path != std::string_view::npos && rest[path] == '/') {
        const auto end = rest.substr(0, rest.find('?')).find('@', path);
        if (end != std::string_view::npos) {
            QIAO_CHECK(parse_user(url, rest.substr(0, end)));
            rest.remove_prefix(end + 1);
            const auto hosts = rest.substr(0, rest.find_first_of("/?"));
            rest.remove_prefix(hosts.size());
            return parse_hosts(url, hosts);
        }
    }
    rest.remove_prefix(head.size());
    const auto at = head.rfind('@');
    if (at == std::string_view::npos) {
        return parse_hosts(url, head);
    }
    QIAO_CHECK(parse_user(url, head.substr(0, at)));
    return parse_hosts(url, head.substr(at + 1));
}

Status parse_option(DataSourceUrl& url, std::string_view text) {
    const bool has_value = text.find('=') != std::string_view::npos;
    QIAO_TRY(const auto name, decode(cut(text, "=")));
    if (name.empty() || !has_value) {
        return malformed("an option is written name=value");
    }
    if (name == "password") {
        return set_password(url, text);
    }
    QIAO_TRY(auto value, decode(text));
    if (name == "host") {
        url.host = std::move(value);
    } else if (name == "user") {
        url.user = std::move(value);
    } else if (name == "dbname") {
        url.database = std::move(value);
    } else if (name == "port") {
        QIAO_TRY(url.port, parse_port(value));
    } else {
        url.options[name] = std::move(value);
    }
    return {};
}

bool valid_scheme(std::string_view scheme) {
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
    return !scheme.empty() && std::ranges::all_of(scheme, letter);
}

std::string in_brackets(const std::string& host) {
    return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

}  // namespace

Result<DataSourceUrl> DataSourceUrl::parse(std::string_view text) {
    DataSourceUrl url;
    auto rest = text;
    const bool has_scheme = rest.find(':') != std::string_view::npos;
    url.scheme = cut(rest, ":");
    if (!has_scheme || !valid_scheme(url.scheme)) {
        return malformed("it starts with a scheme, as postgresql://");
    }
    if (url.scheme == "postgres") {
        url.scheme = "postgresql";
    }
    if (rest.starts_with("//")) {
        rest.remove_prefix(2);
        QIAO_CHECK(parse_authority(url, rest));
        if (rest.starts_with('/')) {
            rest.remove_prefix(1);
        }
    } else if (url.scheme != "odbc") {
        return malformed("after the scheme comes //");
    }
    QIAO_TRY(url.database, decode(cut(rest, "?")));
    while (!rest.empty()) {
        QIAO_CHECK(parse_option(url, cut(rest, "&")));
    }
    return url;
}

std::string DataSourceUrl::display() const {
    if (scheme == "odbc") {
        // The rest of a connection string may hold anything, a password too.
        return database.starts_with("DSN=") ? "odbc:" + database.substr(0, database.find(';'))
                                            : std::string("odbc:");
    }
    std::string text = scheme + "://";
    if (!user.empty()) {
        text += user + "@";
    }
    text += in_brackets(host);
    if (port != 0) {
        text += fmt::format(":{}", port);
    }
    return text + "/" + database;
}

Task<Result<DataSourceUrl>> resolve_password(DataSourceUrl url, Storage& storage) {
    if (!url.password.empty() || url.password_file.empty()) {
        co_return url;
    }
    constexpr size_t kMost = size_t{64} << 10U;
    auto content = co_await read_file(storage, url.password_file, kMost);
    if (!content) {
        co_return std::move(content).error().within("password file");
    }
    const auto first = as_text(*content).substr(0, as_text(*content).find_first_of("\r\n"));
    url.password = Secret(first);
    wipe(*content);
    if (url.password.empty()) {
        co_return malformed(fmt::format("the password file {} is empty", url.password_file));
    }
    co_return url;
}

}  // namespace qiao::drivers
