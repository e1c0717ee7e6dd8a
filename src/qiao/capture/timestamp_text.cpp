#include "qiao/capture/timestamp_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>

namespace qiao::capture {
namespace {

constexpr std::string_view kShape = "0000-00-00 00:00:00";
constexpr size_t kFractionDigits = 6;
constexpr size_t kSerialDigits = 16;

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
    const std::string_view text = *full;
    const year_month_day date(
        year(number(text.substr(0, 4))),
        month(static_cast<unsigned>(number(text.substr(5, 2)))),
        day(static_cast<unsigned>(number(text.substr(8, 2))))
    );
    auto moment = sys_time<microseconds>(sys_days(date)) + hours(number(text.substr(11, 2))) +
                  minutes(number(text.substr(14, 2))) + seconds(number(text.substr(17, 2))) +
                  microseconds(number(text.substr(20, kFractionDigits)));
    moment -= duration_cast<microseconds>(by);
    const sys_time<microseconds> first{sys_days(year(1) / January / 1)};
    auto result = WallTime{std::max(moment, first).time_since_epoch().count()}.to_string();
    result.pop_back();  // the Z: this is not UTC but the source's own zone
    result[10] = ' ';
    return result;
}

model::SourcePosition Watermark::position(std::string_view history) const {
    model::SourcePosition position;
    position.kind = model::PositionKind::Watermark;
    position.history = to_bytes(as_bytes(history));
    position.order = to_bytes(as_bytes(fmt::format("{}#{:016x}", stamp, serial)));
    return position;
}

std::optional<Watermark> Watermark::parse(const model::SourcePosition& position) {
    const auto text = as_text(position.order);
    const auto mark = text.rfind('#');
    if (position.kind != model::PositionKind::Watermark || mark == std::string_view::npos ||
        text.size() - mark - 1 != kSerialDigits) {
        return std::nullopt;
    }
    Watermark watermark{std::string(text.substr(0, mark)), 0};
    const auto* const end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data() + mark + 1, end, watermark.serial, 16);
    if (parsed.ec != std::errc{} || parsed.ptr != end) {
        return std::nullopt;
    }
    return watermark;
}

}  // namespace qiao::capture
