#include "qiao/agent/status.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <map>

namespace qiao::agent {
namespace {

struct Words {
    std::string_view en, zh;
};

/// Writes for people in one language.
class Page {
public:
    explicit Page(Language language) : language_(language) {}

    std::string_view pick(Words words) const {
        return language_ == Language::Chinese ? words.zh : words.en;
    }

    /// States and directions, as they are in the JSON; an unknown word stands for itself.
    std::string_view word(std::string_view state) const {
        static const std::map<std::string_view, std::string_view> kChinese{
            {"yes", "是"},
            {"no", "否"},
            {"unknown", "未知"},
            {"source", "源"},
            {"target", "目标"},
            {"up", "已连接"},
            {"connecting", "连接中"},
            {"waiting", "等待重试"},
            {"stopped", "已停止"},
            {"dialled", "主动"},
            {"accepted", "被动"},
            {"awaiting_load", "等待携带装载导入"},
            {"awaiting_epoch", "等待旧纪元应用完毕"},
            {"creating", "建表中"},
            {"loading", "装载中"},
            {"indexing", "建索引"},
            {"following", "跟随日志"},
            {"retrying", "等待重试"},
            {"failed", "失败"},
            {"starting", "启动中"},
            {"moving", "流动"},
            {"idle", "空闲"},
            {"down", "未连接"},
            {"applying", "应用中"},
            {"paused", "暂停"},
            {"waiting_for_load", "等待装载"},
            {"capture", "捕获"},
            {"send", "发送"},
            {"receive", "接收"},
            {"apply", "应用"},
            {"open", "正常"},
            {"pushing_back", "反压"},
            {"running", "进行中"},
            {"equal", "一致"},
            {"different", "有差异"},
            {"unknown", "无法判定"},
            {"closed", "已关闭"},
        };
        const auto found = kChinese.find(state);
        return language_ == Language::Chinese && found != kChinese.end() ? found->second : state;
    }

    template <class... Args>
    void line(Words words, const Args&... args) {
        text_ += fmt::format(fmt::runtime(pick(words)), args...);
        text_ += '\n';
    }

    void error(const std::optional<Error>& error, std::string_view indent) {
        if (!error) {
            return;
        }
        text_ += fmt::format("{}! {}\n", indent, error->to_string());
        text_ += fmt::format("{}  → {}\n", indent, error->info().next_step(language_));
    }

    std::string take() && { return std::move(text_); }

    Language language() const { return language_; }

private:
    Language language_;
    std::string text_;
};

std::string seconds(const std::optional<double>& value) {
    return value ? fmt::format("{:.1f} s", *value) : "?";
}

std::string bytes(uint64_t count) {
    constexpr double kStep = 1024;
    double value = static_cast<double>(count);
    for (const auto* unit : {"B", "KiB", "MiB", "GiB"}) {
        if (value < kStep) {
            return unit[0] == 'B' ? fmt::format("{} B", count)
                                  : fmt::format("{:.1f} {}", value, unit);
        }
        value /= kStep;
    }
    return fmt::format("{:.1f} TiB", value);
}

/// With the table and its flow.
Words doubt_of(const std::string& state) {
    if (state == "unproven") {
        return {
            "  ! {} is unproven: qiao verify --flow {} --repair, at the source's agent",
            "  ! {} 未经验证:请在源端代理上运行 qiao verify --flow {} --repair"
        };
    }
    if (state == "paused") {
        return {
            "  ! {0} is paused: qiao tables --config … --flow {1} --resume {0}",
            "  ! {0} 已暂停:qiao tables --config … --flow {1} --resume {0}"
        };
    }
    return {
        "  ! {} is out of step: it is loaded anew at the next start of flow {}",
        "  ! {} 已失步:流 {} 下次启动时将重新装载"
    };
}

void put_node(Page& page, const AgentStatus& status) {
    page.line(
        {"node {}  version {}  up {:.0f} s  memory {}",
         "节点 {}  版本 {}  已运行 {:.0f} 秒  内存 {}"},
        status.node,
        status.version,
        status.uptime_seconds,
        bytes(status.resident_bytes)
    );
    page.line(
        {"certificate {} until {}", "证书 {} 有效期至 {}"},
        status.certificate,
        status.certificate_until.to_string().substr(0, 10)
    );
    if (const auto notice = expiry_notice(status.certificate_until, status.at)) {
        page.line(
            *notice == 0
                ? Words{"  ! it is over, and no peer lets this node in: qiao key node …",
                        "  ! 证书已过期,对方将拒绝连接;请用 qiao key node … 签发新证书"}
                : Words{"  ! it ends in less than {} days: qiao key node …",
                        "  ! 证书将在 {} 天内到期;请用 qiao key node … 签发新证书"},
            *notice
        );
    }
    if (!status.listening.empty()) {
        page.line({"listening on {}", "监听 {}"}, status.listening);
    }
    page.error(status.last_error, "");
    if (status.reload_refused) {
        page.line(
            {"! newer settings were refused; those of {} are in use",
             "! 新配置被拒绝,仍使用 {} 的配置"},
            status.settings_since.to_string().substr(0, 16)
        );
        page.error(status.reload_refused, "");
    }
    page.line(
        {"trail: {}, {} of {}", "队列缓存:{},已用 {},限额 {}"},
        page.word(status.trail.condition),
        bytes(status.trail.disk_bytes),
        bytes(status.trail.budget_bytes)
    );
    if (nearly_full(status.trail)) {
        page.line(
            {"  ! the disk budget is nearly used up: who does not take what waits here?",
             "  ! 磁盘限额即将用尽:请检查哪一端没有取走数据"}
        );
    }
    if (status.trail.damage != 0) {
        page.line(
            {"  ! {} damaged places: qiao trail check", "  ! {} 处损坏:请运行 qiao trail check"},
            status.trail.damage
        );
    }
    if (status.transfer_log.lost != 0) {
        page.line(
            {"  ! {} records of the transfer log were lost", "  ! 流水日志丢失 {} 条记录"},
            status.transfer_log.lost
        );
    }
    page.error(status.transfer_log.last_error, "  ");
}

void put_link(Page& page, const LinkStatus& link, WallTime now) {
    const auto round_trip =
        link.round_trip_ms ? fmt::format("{:.1f} ms", *link.round_trip_ms) : std::string("?");
    page.line(
        {"link {} ({}, {}): {}, round trip {}, in {}, out {}",
         "链路 {}({},{}):{},往返 {},收 {},发 {}"},
        link.peer,
        page.word(link.direction),
        link.address,
        page.word(link.state),
        round_trip,
        bytes(link.bytes_in),
        bytes(link.bytes_out)
    );
    if (link.rate_limit != 0) {
        page.line({"  limited to {} a second", "  限速:每秒 {}"}, bytes(link.rate_limit));
    }
    const auto notice =
        link.certificate_until.us == 0 ? std::nullopt : expiry_notice(link.certificate_until, now);
    if (notice) {
        page.line(
            {"  ! its certificate ends in less than {} days", "  ! 对方证书将在 {} 天内到期"},
            *notice
        );
    }
    if (link.state != "up") {
        page.error(link.last_error, "  ");
    }
}

void put_stage(Page& page, const StageStatus& stage) {
    page.line(
        {"  {}: {}, packet {}.{}, position {}, {} rows, {:.0f} rows/s, {}, queue {}",
         "  {}:{},数据包 {}.{},位置 {},{} 行,{:.0f} 行/秒,{},排队 {}"},
        page.word(stage.name),
        page.word(stage.state),
        stage.point.epoch.value,
        stage.point.sequence.value,
        stage.position.empty() ? std::string("-") : stage.position,
        stage.rows,
        stage.rows_per_second,
        bytes(stage.bytes),
        stage.queue
    );
    page.error(stage.last_error, "    ");
}

/// `5 of 8`; where nothing bounds it `5`.
template <class Number>
std::string beside_limit(const Page& page, Number now, Number limit) {
    const auto of = page.pick({" of ", "/"});
    return limit == Number{} ? fmt::format("{}", now) : fmt::format("{}{}{}", now, of, limit);
}

void put_source_usage(Page& page, const drivers::SourceUsage& usage) {
    const auto seconds = [](Duration time) {
        return std::chrono::ceil<std::chrono::milliseconds>(time);
    };
    page.line(
        {"  at the source: connections {} (most {}), rows/s {}, longest statement {}",
         "  源端占用:连接 {}(最多 {}),行/秒 {},最长语句 {}"},
        beside_limit(page, usage.connections, usage.limits.connections),
        usage.connections_most,
        beside_limit(page, usage.rows_per_second, usage.limits.rows_per_second),
        beside_limit(page, seconds(usage.longest_statement), seconds(usage.limits.statement_time))
    );
}

void put_comparison(Page& page, const ComparisonStatus& comparison, const std::string& flow) {
    const auto& at = comparison.ended_at;
    page.line(
        {"  compared: {} {}", "  比对:{} {}"},
        page.word(comparison.state),
        at.us == 0 ? std::string() : at.to_string().substr(0, 16)
    );
    if (!comparison.part.whole()) {
        const auto part = verify::render(comparison.part, "", page.language());
        page.line({"    only {}", "    仅比对 {}"}, part);
    }
    for (const auto& table : comparison.different) {
        page.line(
            {"  ! {0} was found different: qiao verify --flow {1} --table {0} --repair",
             "  ! {0} 曾比对出差异:qiao verify --flow {1} --table {0} --repair"},
            table,
            flow
        );
    }
    page.error(comparison.error, "  ");
}

void put_flow(Page& page, const FlowStatus& flow) {
    page.line(
        {"flow {} ({}, peer {}): {}, moving: {}, lag {} {}{}",
         "流 {}({},对端 {}):{},流动:{},滞后 {} {}{}"},
        flow.name,
        page.word(flow.role),
        flow.peer,
        page.word(flow.state),
        page.word(to_text(flow.moving)),
        seconds(flow.lag_seconds),
        bytes(flow.lag_bytes),
        flow.green ? page.pick({"  [green]", "  [正常]"}) : std::string_view()
    );
    if (!flow.database.empty()) {
        page.line({"  {}", "  {}"}, flow.database);
    }
    if (flow.comparison) {
        put_comparison(page, *flow.comparison, flow.name);
    }
    if (flow.rate_limit != 0) {
        page.line({"  limited to {} a second", "  限速:每秒 {}"}, bytes(flow.rate_limit));
    }
    if (flow.source_usage) {
        put_source_usage(page, *flow.source_usage);
    }
    for (const auto& stage : flow.stages) {
        put_stage(page, stage);
    }
    if (flow.load.running) {
        page.line(
            {"  load: {} of {} parts, {} of about {} rows, {}", "  装载:{}/{} 分片,{}/约 {} 行,{}"},
            flow.load.parts_done,
            flow.load.parts,
            flow.load.rows,
            flow.load.rows_estimated,
            bytes(flow.load.bytes)
        );
    }
    if (flow.laid_aside != 0) {
        page.line(
            {"  ! {} changes are laid aside: qiao errors --config … --flow {}",
             "  ! 有 {} 条变更被搁置:qiao errors --config … --flow {}"},
            flow.laid_aside,
            flow.name
        );
    }
    for (const auto& one : flow.doubtful) {
        page.line(doubt_of(one.state), one.table, flow.name);
        if (!one.note.empty()) {
            page.line({"    after: {}", "    先执行:{}"}, one.note);
        }
    }
    page.error(flow.last_error, "  ");
    if (flow.needs_operator) {
        page.line(
            {"  waits for: qiao status --retry {}", "  等待操作:qiao status --retry {}"}, flow.name
        );
    } else if (flow.next_try_seconds) {
        page.line(
            {"  try {} in {:.0f} s", "  第 {} 次重试将在 {:.0f} 秒后"},
            flow.tries + 1,
            *flow.next_try_seconds
        );
    }
}

}  // namespace

bool nearly_full(const AgentStatus::Trail& trail) {
    return trail.budget_bytes != 0 && trail.disk_bytes / 4 >= trail.budget_bytes / 5;
}

std::optional<int> expiry_notice(WallTime until, WallTime now) {
    constexpr int64_t kDay = 24LL * 3600 * 1'000'000;
    std::optional<int> notice;
    for (const int days : {60, 30, 7, 0}) {
        if (until.us - now.us < days * kDay) {
            notice = days;
        }
    }
    return notice;
}

std::string to_text(const AgentStatus& status, Language language) {
    Page page(language);
    put_node(page, status);
    for (const auto& link : status.links) {
        put_link(page, link, status.at);
    }
    for (const auto& flow : status.flows) {
        put_flow(page, flow);
    }
    return std::move(page).take();
}

}  // namespace qiao::agent
