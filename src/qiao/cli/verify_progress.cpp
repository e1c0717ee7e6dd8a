#include "qiao/cli/verify_progress.h"

#include "qiao/common/async/sleep.h"

#include <fmt/format.h>

#include <cstdio>

namespace qiao::cli {
namespace {

constexpr Duration kTerminalPeriod = std::chrono::milliseconds(250);
constexpr Duration kPlainPeriod = std::chrono::seconds(5);

}  // namespace

void VerifyProgress::start(Look look) {
    look_ = std::move(look);
    scope_.spawn(show());
}

Task<void> VerifyProgress::finish() {
    scope_.request_stop();
    co_await scope_.join();
    if (drawn_) {
        std::fputs("\r\033[K", stderr);
    }
}

std::string VerifyProgress::line(const agent::ComparisonProgress& progress) const {
    const bool repairing = progress.phase == agent::ComparisonProgress::Phase::Repairing;
    const auto verb =
        repairing ? console_.pick({"repairing", "修复中"}) : console_.pick({"comparing", "比对中"});
    return fmt::format(
        fmt::runtime(console_.pick({"{} {}  table {} of {}  {} rows", "{} {}  第 {}/{} 张表  {} 行"}
        )),
        verb,
        progress.table,
        std::min(progress.tables_done + 1, progress.tables),
        progress.tables,
        progress.rows_read
    );
}

Task<void> VerifyProgress::show() {
    const bool terminal = console_.on_terminal();
    const auto period = terminal ? kTerminalPeriod : kPlainPeriod;
    while (co_await sleep_for(loop_, loop_, period, scope_.stop())) {
        const auto progress = look_();
        if (!progress || progress->tables == 0) {
            continue;
        }
        const auto text = line(*progress);
        if (terminal) {
            std::fprintf(stderr, "\r\033[K%s", text.c_str());
            std::fflush(stderr);
            drawn_ = true;
        } else {
            std::fprintf(stderr, "%s\n", text.c_str());
        }
    }
}

}  // namespace qiao::cli
