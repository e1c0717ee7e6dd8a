#include "qiao/agent/verify_part.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <utility>

namespace qiao::agent {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::seconds;

Error refused(std::string_view what, std::string_view text, std::string_view wanted) {
    return {ErrorCode::Config, fmt::format("{} `{}`: {}", what, text, wanted)};
}

/// All of `text` as a number of digits alone.
std::optional<uint64_t> digits(std::string_view text) {
    uint64_t number = 0;
    const auto* end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, number);
    const bool good = read.ec == std::errc() && read.ptr == end && !text.empty();
    return good ? std::optional(number) : std::nullopt;
}

/// Column and what is said of it; none: there is no equals sign between two texts.
std::optional<std::pair<std::string, std::string_view>> split(std::string_view text) {
    const auto mark = text.find('=');
    if (mark == std::string_view::npos || mark == 0 || mark + 1 == text.size()) {
        return std::nullopt;
    }
    return std::pair(std::string(text.substr(0, mark)), text.substr(mark + 1));
}

Json of(const std::optional<std::string>& text) { return text ? Json(*text) : Json(nullptr); }

std::optional<std::string> text_in(const Json& object, const char* key) {
    const auto value = object.find(key);
    const bool none = value == object.end() || value->is_null();
    return none ? std::nullopt : std::optional(value->get<std::string>());
}

Json of(const drivers::RangeWanted& wanted) {
    Json json{
        {"column", wanted.range.column},
        {"from", of(wanted.range.from)},
        {"to", of(wanted.range.to)}
    };
    if (wanted.within) {
        json["within_seconds"] = std::chrono::duration_cast<seconds>(*wanted.within).count();
    }
    return json;
}

Result<drivers::RangeWanted> range_of(const Json& json) {
    drivers::RangeWanted wanted;
    wanted.range.column = json.value("column", "");
    wanted.range.from = text_in(json, "from");
    wanted.range.to = text_in(json, "to");
    if (json.contains("within_seconds")) {
        const auto within = json["within_seconds"].get<uint64_t>();
        const auto most = std::chrono::duration_cast<seconds>(verify::kWithinMost).count();
        if (within == 0 || within > static_cast<uint64_t>(most)) {
            return Error(ErrorCode::Config, "within_seconds");
        }
        wanted.within = seconds(static_cast<int64_t>(within));
    }
    const bool ends = wanted.range.from || wanted.range.to;
    if (wanted.range.column.empty() || ends == wanted.within.has_value()) {
        return Error(ErrorCode::Config, "range: a column, and its ends or within_seconds");
    }
    return wanted;
}

}  // namespace

Result<uint32_t> parse_share(std::string_view text) {
    constexpr uint64_t kHundred = 100;
    constexpr size_t kDecimals = 2;
    const auto dot = std::min(text.find('.'), text.size());
    auto decimals = std::string(dot == text.size() ? "0" : text.substr(dot + 1));
    const bool fits = !decimals.empty() && decimals.size() <= kDecimals;
    decimals.resize(kDecimals, '0');
    const auto whole = digits(text.substr(0, dot));
    const auto rest = digits(decimals);
    const bool good = fits && whole && rest && *whole <= kHundred;
    const auto share = good ? *whole * kHundred + *rest : 0;
    if (share == 0 || share > drivers::RowSample::kAll) {
        return refused("sample", text, "per cent from 0.01 to 100, two decimals at most");
    }
    return static_cast<uint32_t>(share);
}

Result<Duration> parse_within(std::string_view text) {
    constexpr auto kUnits = std::to_array<std::pair<char, seconds>>({
        {'s', seconds(1)},
        {'m', std::chrono::minutes(1)},
        {'h', std::chrono::hours(1)},
        {'d', std::chrono::hours(24)},
    });
    const auto unit =
        text.empty() ? kUnits.end()
                     : std::ranges::find(kUnits, text.back(), &std::pair<char, seconds>::first);
    const auto number =
        unit == kUnits.end() ? std::nullopt : digits(text.substr(0, text.size() - 1));
    const auto most = std::chrono::duration_cast<seconds>(verify::kWithinMost).count();
    if (!number || *number == 0 || *number > static_cast<uint64_t>(most / unit->second.count())) {
        return refused("time", text, "90s, 30m, 2h or 7d; ten years at most");
    }
    return unit->second * static_cast<int64_t>(*number);
}

Result<drivers::RangeWanted> parse_range(std::string_view text) {
    constexpr std::string_view kBetween = "..";
    const auto parts = split(text);
    const auto dots = parts ? parts->second.find(kBetween) : std::string_view::npos;
    if (dots == std::string_view::npos || parts->second.size() == kBetween.size()) {
        return refused("range", text, "COLUMN=FROM..TO, of which one end may be empty");
    }
    drivers::RangeWanted wanted;
    wanted.range.column = parts->first;
    const auto from = parts->second.substr(0, dots);
    const auto to = parts->second.substr(dots + kBetween.size());
    if (!from.empty()) {
        wanted.range.from = std::string(from);
    }
    if (!to.empty()) {
        wanted.range.to = std::string(to);
    }
    return wanted;
}

Result<drivers::RangeWanted> parse_recent(std::string_view text) {
    const auto parts = split(text);
    if (!parts) {
        return refused("recent", text, "COLUMN=TIME, like updated_at=2d");
    }
    drivers::RangeWanted wanted;
    wanted.range.column = parts->first;
    QIAO_TRY(wanted.within, parse_within(parts->second));
    return wanted;
}

nlohmann::ordered_json to_json(const verify::Part& part) {
    if (part.whole()) {
        return nullptr;
    }
    Json json = Json::object();
    if (part.share != 0) {
        json["share"] = part.share;
        json["seed"] = part.seed ? Json(*part.seed) : Json(nullptr);
    }
    if (part.range) {
        json["range"] = of(*part.range);
    }
    return json;
}

Result<verify::Part> parse_part(const nlohmann::ordered_json& json) {
    verify::Part part;
    try {
        if (json.contains("share")) {
            const auto share = json["share"].get<uint64_t>();
            if (share == 0 || share > drivers::RowSample::kAll) {
                return Error(ErrorCode::Config, "share: 1 to 10000, hundredths of a per cent");
            }
            part.share = static_cast<uint32_t>(share);
            if (const auto seed = json.find("seed"); seed != json.end() && !seed->is_null()) {
                part.seed = seed->get<uint32_t>();
            }
        }
        if (json.contains("range")) {
            QIAO_TRY(part.range, range_of(json["range"]));
        }
    } catch (const Json::exception&) {
        return Error(ErrorCode::Config, "a value of another type");
    }
    return part;
}

}  // namespace qiao::agent
