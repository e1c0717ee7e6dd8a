#include "qiao/cli/load_progress.h"

#include "qiao/common/async/sleep.h"

#include <fmt/format.h>

#include <cstdio>

namespace qiao::cli {
namespace {

constexpr Duration kTerminalPeriod = std::chrono::milliseconds(250);
constexpr Duration kPlainPeriod = std::chrono::seconds(5);
constexpr double kMegabyte = 1e6;
/// Of the newest look in the rate that is shown.
constexpr double kRateWeight = 0.3;

}  // namespace

LoadProgress::LoadProgress(
    EventLoop& loop, const Console& console, std::function<LoadMoment()> look
)
    : loop_(loop), console_(console), look_(std::move(look)), last_(loop.now()), scope_(loop) {}

Task<void> LoadProgress::finish() {
    scope_.request_stop();
    co_await scope_.join();
    if (drawn_) {
        std::fputs("\r\033[K", stderr);
    }
}

Task<void> LoadProgress::show() {
    const bool terminal = console_.on_terminal();
    const auto period = terminal ? kTerminalPeriod : kPlainPeriod;
    while (co_await sleep_for(loop_, loop_, period, scope_.stop())) {
        const auto text = line();
        if (terminal) {
            drawn_ = true;
            std::fputs(fmt::format("\r\033[K{}", text).c_str(), stderr);
            std::fflush(stderr);
        } else {
            console_.warn(text);
        }
    }
}

std::string LoadProgress::line() {
    const auto moment = look_();
    const auto now = loop_.now();
    const double seconds = std::chrono::duration<double>(now - last_).count();
    if (moment.phase != before_.phase || moment.bytes < before_.bytes) {
        before_.bytes = 0;
        rate_ = 0;
    }
    if (seconds > 0) {
        const double fresh = static_cast<double>(moment.bytes - before_.bytes) / seconds;
        rate_ = rate_ == 0 ? fresh : rate_ * (1 - kRateWeight) + fresh * kRateWeight;
    }
    last_ = now;
    before_ = moment;
    auto text = moment.phase;
    if (moment.bytes_all != 0) {
        text += fmt::format(
            fmt::runtime(console_.pick(
                {": {} rows, {:.1f} of about {:.1f} MB, {:.1f} MB/s",
                 ":{} 行,{:.1f} / 约 {:.1f} MB,{:.1f} MB/秒"}
            )),
            moment.rows,
            static_cast<double>(moment.bytes) / kMegabyte,
            static_cast<double>(moment.bytes_all) / kMegabyte,
            rate_ / kMegabyte
        );
    }
    if (rate_ > 1 && moment.bytes_all > moment.bytes) {
        const auto left = static_cast<double>(moment.bytes_all - moment.bytes) / rate_;
        text +=
            fmt::format(fmt::runtime(console_.pick({", {:.0f} s left", ",约剩 {:.0f} 秒"})), left);
    }
    return text;
}

}  // namespace qiao::cli
