#include "qiao/capture/postgres/lsn.h"

#include <fmt/format.h>

#include <charconv>

namespace qiao::capture::postgres {
namespace {

std::optional<uint32_t> parse_half(std::string_view text) {
    uint32_t value = 0;
    const auto* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, value, 16);
    if (text.empty() || parsed.ec != std::errc{} || parsed.ptr != end) {
        return std::nullopt;
    }
    return value;
}

}  // namespace

std::optional<Lsn> parse_lsn(std::string_view text) {
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) {
        return std::nullopt;
    }
    const auto high = parse_half(text.substr(0, slash));
    const auto low = parse_half(text.substr(slash + 1));
    if (!high || !low) {
        return std::nullopt;
    }
    return Lsn{*high} << 32U | *low;
}

std::string format_lsn(Lsn lsn) { return fmt::format("{:X}/{:X}", lsn >> 32U, lsn & 0xFFFFFFFFU); }

std::string SystemIdentity::to_string() const {
    return fmt::format("system {}, timeline {}", system_id, timeline);
}

std::optional<Lsn> lsn_of(const model::SourcePosition& position) {
    if (position.kind != model::PositionKind::Lsn || position.order.size() != sizeof(Lsn)) {
        return std::nullopt;
    }
    Lsn lsn = 0;
    for (const auto byte : position.order) {
        lsn = lsn << 8U | std::to_integer<Lsn>(byte);
    }
    return lsn;
}

}  // namespace qiao::capture::postgres
