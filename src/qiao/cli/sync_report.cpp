#include "qiao/cli/sync_report.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <map>
#include <vector>

namespace qiao::cli {
namespace {

std::string describe_leftover(const capture::Leftover& left, const Console& console) {
    return fmt::format(
        fmt::runtime(console.pick({"  {} {} ({} bytes of log held)", "  {} {}(占用日志 {} 字节)"})),
        left.kind,
        left.name,
        left.bytes_held
    );
}

/// Many of one kind take one line; --json has them all.
void tell_left_out(const std::vector<drivers::LeftOut>& left_out, const Console& console) {
    constexpr size_t kToldEach = 5;
    std::map<std::string, std::vector<const drivers::LeftOut*>> by_kind;
    for (const auto& one : left_out) {
        by_kind[one.kind].push_back(&one);
    }
    for (const auto& [kind, all] : by_kind) {
        const auto reason = console.pick({all.front()->reason_en, all.front()->reason_zh});
        if (all.size() > kToldEach) {
            const auto line = console.pick(
                {"not brought: {} of {} objects, {} among them: {}",
                 "未带入:{},共 {} 个对象,其中有 {}:{}"}
            );
            console.say(
                fmt::format(fmt::runtime(line), kind, all.size(), all.front()->object, reason)
            );
            continue;
        }
        for (const auto* one : all) {
            console.say(fmt::format(
                fmt::runtime(console.pick({"not brought: {} {}: {}", "未带入:{} {}:{}"})),
                one->kind,
                one->object,
                console.pick({one->reason_en, one->reason_zh})
            ));
        }
    }
}

}  // namespace

std::string describe_finding(const drivers::Finding& finding, const Console& console) {
    return fmt::format(
        "{}: {}{}{}",
        finding.subject,
        console.pick({finding.message_en, finding.message_zh}),
        finding.mend.empty() ? "" : " → ",
        finding.mend
    );
}

void tell(const agent::SyncReport& report, const SyncEnds& ends, const Console& console) {
    const double seconds = std::chrono::duration<double>(report.took).count();
    console.say(fmt::format(
        fmt::runtime(console.pick(
            {"done in {:.1f} s: {} tables, {} rows loaded, {} changes in {} transactions applied",
             "完成,用时 {:.1f} 秒:{} 张表,装载 {} 行,应用 {} 条变更({} 个事务)"}
        )),
        seconds,
        report.flow.tables.size(),
        report.rows_loaded,
        report.rows_applied,
        report.transactions_applied
    ));
    if (report.sequences != 0) {
        console.say(fmt::format(
            fmt::runtime(
                console.pick({"{} sequences are as far as the source's", "{} 个序列已与源端对齐"})
            ),
            report.sequences
        ));
    }
    tell_left_out(report.flow.left_out, console);
    for (const auto& finding : report.flow.findings) {
        console.say(describe_finding(finding, console));
    }
    if (report.flow.created) {
        for (const auto& failed : report.flow.created->failed) {
            console.say(fmt::format(
                fmt::runtime(console.pick({"could not make {}: {}", "无法创建 {}:{}"})),
                failed.object,
                failed.error
            ));
        }
    }
    if (!report.leftovers.empty() && !ends.follow) {
        console.say(console.pick(
            {"left at the source, so that the next run goes on from here:",
             "源端保留以下对象,以便下次从此处继续:"}
        ));
        for (const auto& left : report.leftovers) {
            console.say(describe_leftover(left, console));
        }
        console.say(fmt::format(
            fmt::runtime(console.pick(
                {"it holds the source's log until the next run; to remove every trace: qiao sync "
                 "--drop --from {} --to {}",
                 "在下次运行前会占用源端日志;如需彻底清除:qiao sync --drop --from {} --to {}"}
            )),
            ends.from,
            ends.to
        ));
    }
}

std::string to_json(const agent::SyncReport& report) {
    nlohmann::json leftovers = nlohmann::json::array();
    for (const auto& left : report.leftovers) {
        leftovers.push_back(
            {{"kind", left.kind}, {"name", left.name}, {"bytes_held", left.bytes_held}}
        );
    }
    nlohmann::json failed = nlohmann::json::array();
    if (report.flow.created) {
        for (const auto& statement : report.flow.created->failed) {
            failed.push_back({{"object", statement.object}, {"error", statement.error}});
        }
    }
    nlohmann::json left_out = nlohmann::json::array();
    for (const auto& one : report.flow.left_out) {
        left_out.push_back({{"kind", one.kind}, {"object", one.object}, {"reason", one.reason_en}});
    }
    nlohmann::json findings = nlohmann::json::array();
    for (const auto& one : report.flow.findings) {
        findings.push_back(
            {{"subject", one.subject}, {"message", one.message_en}, {"mend", one.mend}}
        );
    }
    const nlohmann::json object{
        {"tables", report.flow.tables.size()},
        {"rows_loaded", report.rows_loaded},
        {"changes_applied", report.rows_applied},
        {"transactions_applied", report.transactions_applied},
        {"divergences", report.divergences},
        {"laid_aside", report.laid_aside},
        {"caught_up_to", report.caught_up_to.to_string()},
        {"sequences", report.sequences},
        {"leftovers", leftovers},
        {"failed_statements", failed},
        {"left_out", left_out},
        {"findings", findings},
        {"seconds", std::chrono::duration<double>(report.took).count()},
    };
    return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace qiao::cli
