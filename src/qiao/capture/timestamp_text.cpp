#include "qiao/capture/timestamp_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>

namespace qiao::capture {
namespace {

constexpr std::string_view kShape = "0000-00-00 00:00:00";
constexpr size_t kFractionDigits = 6;
constexpr size_t kPageDigits = 8;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool has_shape(std::string_view text) {
    if (text.size() < kShape.size()) {
        return false;
    }
    for (size_t i = 0; i < kShape.size(); ++i) {
        if (kShape[i] == '0' ? !is_digit(text[i]) : text[i] != kShape[i]) {
            return false;
        }
    }
    return true;
}

int number(std::string_view text) {
    int value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

/// Of a stamp of the full form.
std::chrono::sys_time<std::chrono::microseconds> moment_of(std::string_view full) {
    using namespace std::chrono;
    const year_month_day date(
        year(number(full.substr(0, 4))),
        month(static_cast<unsigned>(number(full.substr(5, 2)))),
        day(static_cast<unsigned>(number(full.substr(8, 2))))
    );
    return sys_time<microseconds>(sys_days(date)) + hours(number(full.substr(11, 2))) +
           minutes(number(full.substr(14, 2))) + seconds(number(full.substr(17, 2))) +
           microseconds(number(full.substr(20, kFractionDigits)));
}

}  // namespace

std::optional<std::string> full_stamp(std::string_view text) {
    if (!has_shape(text)) {
        return std::nullopt;
    }
    std::string stamp(text.substr(0, kShape.size()));
    stamp += '.';
    auto rest = text.substr(kShape.size());
    rest = rest.starts_with('.') ? rest.substr(1) : "";
    for (size_t i = 0; i < kFractionDigits; ++i) {
        const bool given = i < rest.size() && is_digit(rest[i]);
        rest = given ? rest : rest.substr(0, i);
        stamp += given ? rest[i] : '0';
    }
    return stamp;
}

std::string stamp_before(std::string_view stamp, Duration by) {
    using namespace std::chrono;
    const auto full = full_stamp(stamp);
    if (!full) {
        return std::string(stamp);
    }
    auto moment = moment_of(*full);
    moment -= duration_cast<microseconds>(by);
    const sys_time<microseconds> first{sys_days(year(1) / January / 1)};
    auto result = WallTime{std::max(moment, first).time_since_epoch().count()}.to_string();
    result.pop_back();  // the Z: this is not UTC but the source's own zone
    result[10] = ' ';
    return result;
}

std::string stamp_floor(std::string_view stamp, bool day) {
    const auto full = full_stamp(stamp);
    if (!full) {
        return std::string(stamp);
    }
    constexpr size_t kDayLength = 10;
    return day ? full->substr(0, kDayLength) + " 00:00:00.000000"
               : full->substr(0, kShape.size()) + ".000000";
}

model::SourcePosition Watermark::position(std::string_view history) const {
    model::SourcePosition position;
    position.kind = model::PositionKind::Watermark;
    position.history = to_bytes(as_bytes(history));
    const auto order = fmt::format("{}/{:08x}#{}", poll.to_string(), page, stamp);
    position.order = to_bytes(as_bytes(order));
    return position;
}

std::optional<Watermark> Watermark::parse(const model::SourcePosition& position) {
    const auto text = as_text(position.order);
    const auto slash = WallTime{}.to_string().size();
    const auto mark = slash + 1 + kPageDigits;
    if (position.kind != model::PositionKind::Watermark || text.size() <= mark ||
        text[slash] != '/' || text[mark] != '#') {
        return std::nullopt;
    }
    std::string moment(text.substr(0, slash));
    moment[10] = ' ';  // as stamps have it
    const auto full = full_stamp(moment);
    Watermark watermark;
    const auto* const end = text.data() + mark;
    const auto parsed = std::from_chars(text.data() + slash + 1, end, watermark.page, 16);
    if (!full || parsed.ec != std::errc{} || parsed.ptr != end) {
        return std::nullopt;
    }
    watermark.poll.us = moment_of(*full).time_since_epoch().count();
    watermark.stamp = text.substr(mark + 1);
    return watermark;
}

}  // namespace qiao::capture
