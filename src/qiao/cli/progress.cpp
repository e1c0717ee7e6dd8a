#include "qiao/cli/progress.h"

#include "qiao/common/async/sleep.h"

#include <fmt/format.h>

#include <cstdio>

namespace qiao::cli {
namespace {

using Phase = engine::SourceFlowStatus::Phase;
constexpr Duration kTerminalPeriod = std::chrono::milliseconds(250);
constexpr Duration kPlainPeriod = std::chrono::seconds(5);
constexpr double kMegabyte = 1e6;

Text name_of(Phase phase) {
    switch (phase) {
        case Phase::Connecting:
            return {"connecting", "连接中"};
        case Phase::AwaitingLoad:
            return {"waiting for a carried load", "等待携带装载导入"};
        case Phase::AwaitingEpoch:
            return {"applying what lies before the new epoch", "先应用旧纪元的剩余数据"};
        case Phase::Creating:
            return {"creating", "建表中"};
        case Phase::Loading:
            return {"loading", "装载中"};
        case Phase::Indexing:
            return {"building keys and indexes", "建立索引与约束"};
        case Phase::Following:
            return {"following", "跟随日志"};
        case Phase::Retrying:
            return {"waiting to try again", "等待重试"};
        case Phase::Failed:
            return {"failed", "失败"};
        case Phase::Stopped:
            break;
    }
    return {"stopped", "已停止"};
}

}  // namespace

Progress::Progress(EventLoop& loop, const Console& console, const agent::SyncRun& run)
    : loop_(loop),
      console_(console),
      run_(run),
      started_(loop.now()),
      last_(started_),
      scope_(loop) {}

void Progress::start() { scope_.spawn(show()); }

Task<void> Progress::finish() {
    scope_.request_stop();
    co_await scope_.join();
    if (drawn_) {
        std::fputs("\r\033[K", stderr);
    }
}

Task<void> Progress::show() {
    const bool terminal = console_.on_terminal();
    const auto period = terminal ? kTerminalPeriod : kPlainPeriod;
    while (co_await sleep_for(loop_, loop_, period, scope_.stop())) {
        const auto text = line();
        if (terminal) {
            drawn_ = true;
            std::fputs(fmt::format("\r\033[K{}", text).c_str(), stderr);
            std::fflush(stderr);
        } else if (!text.empty()) {
            console_.warn(text);
        }
    }
}

std::string Progress::line() {
    if (const auto& unreached = run_.unreached()) {
        return fmt::format(
            "{} ({} × {})",
            console_.pick(name_of(Phase::Connecting)),
            unreached->tries,
            unreached->error.to_string()
        );
    }
    if (run_.source() == nullptr) {
        return {};
    }
    const auto& flow = run_.source()->status();
    const auto applied = run_.target()->apply_status().applier;
    const auto rows = flow.load.rows + applied.rows;
    const auto now = loop_.now();
    const double seconds = std::chrono::duration<double>(now - last_).count();
    if (seconds > 0) {
        const double fresh = static_cast<double>(rows - last_rows_) / seconds;
        rate_ = rate_ == 0 ? fresh : rate_ * 0.7 + fresh * 0.3;
    }
    last_ = now;
    last_rows_ = rows;
    auto text = fmt::format(
        fmt::runtime(console_.pick(
            {"{}: {} rows, {:.1f} MB loaded, {} changes applied, {:.0f} rows/s",
             "{}:已装载 {} 行 {:.1f} MB,已应用 {} 条变更,{:.0f} 行/秒"}
        )),
        console_.pick(name_of(flow.phase)),
        flow.load.rows,
        static_cast<double>(flow.load.bytes) / kMegabyte,
        applied.rows,
        rate_
    );
    if (flow.phase == Phase::Loading && rate_ > 1 && flow.load.rows_estimated > flow.load.rows) {
        const auto left = static_cast<double>(flow.load.rows_estimated - flow.load.rows) / rate_;
        text +=
            fmt::format(fmt::runtime(console_.pick({", {:.0f} s left", ",约剩 {:.0f} 秒"})), left);
    }
    if (flow.last_error && flow.phase == Phase::Retrying) {
        text += fmt::format(" ({} × {})", flow.tries, flow.last_error->to_string());
    }
    using apply::ApplyState;
    const bool waits = applied.state == ApplyState::Retrying || applied.state == ApplyState::Paused;
    if (waits && applied.last_error) {
        text += fmt::format(" ({} × {})", applied.tries, applied.last_error->to_string());
    }
    return text;
}

}  // namespace qiao::cli
