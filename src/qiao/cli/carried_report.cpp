#include "qiao/cli/carried_report.h"

#include "qiao/cli/sync_report.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace qiao::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kMegabyte = 1e6;

double as_seconds(Duration took) { return std::chrono::duration<double>(took).count(); }

std::string dump(const Json& object) {
    return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json of(const engine::CarriedManifest& manifest, const Digest& digest) {
    return {
        {"stream", manifest.stream.to_string()},
        {"load", manifest.load.to_string()},
        {"source", manifest.source},
        {"node", manifest.node},
        {"made_at", manifest.made_at.to_string()},
        {"generation", manifest.session.generation},
        {"joined_at", manifest.session.joined_at.to_string()},
        {"digest", digest.to_string()},
        {"files", manifest.files().size() + 1},
        {"bytes", manifest.bytes()},
        {"rows", manifest.rows()},
    };
}

template <class... Args>
void say(const Console& console, Text text, const Args&... args) {
    console.say(fmt::format(fmt::runtime(console.pick(text)), args...));
}

}  // namespace

void tell(
    const agent::CarriedExportReport& report, const CarriedNext& next, const Console& console
) {
    const auto& manifest = report.manifest;
    say(console,
        {"exported in {:.1f} s: {} tables, {} rows, {:.1f} MB in {} files, as of {}",
         "导出完成,用时 {:.1f} 秒:{} 张表,{} 行,{:.1f} MB,{} 个文件,截至位置 {}"},
        as_seconds(report.took),
        manifest.tables.size(),
        manifest.rows(),
        static_cast<double>(manifest.bytes()) / kMegabyte,
        manifest.files().size() + 1,
        manifest.session.joined_at.to_string());
    say(console, {"folder  {}", "目录  {}"}, next.folder);
    say(console,
        {"digest  {}  (tell it to who imports, by another way than the disk)",
         "摘要  {}  (请由介质以外的途径告知导入方)"},
        report.digest.to_string());
    for (const auto& finding : report.findings) {
        console.say(describe_finding(finding, console));
    }
    for (const auto& one : report.left_out) {
        say(console,
            {"not brought: {} {}: {}", "未带入:{} {}:{}"},
            one.kind,
            one.object,
            console.pick({one.reason_en, one.reason_zh}));
    }
    say(console,
        {"while the load is carried these stay at the source and hold its log from here on, "
         "without an end unless max_slot_wal_keep_size sets one:",
         "携带期间源端保留以下对象并持续占用此后的日志;除非设置 "
         "max_slot_wal_keep_size,否则不设上限:"});
    for (const auto& left : report.leftovers) {
        say(console,
            {"  {} {} ({} bytes of log held)", "  {} {}(占用日志 {} 字节)"},
            left.kind,
            left.name,
            left.bytes_held);
    }
    say(console, {"after the import, follow with: {}", "导入后跟随日志:{}"}, next.follow);
    say(console, {"or give it up with: {}", "如放弃,请清除:{}"}, next.drop);
    if (next.may_begin) {
        console.warn(console.pick(
            {"warning: the flow has no `load: carried`: its agent would load by itself, over the "
             "link, if it starts before the import",
             "警告:该流未配置 `load: carried`;若代理在导入前启动,将自行经链路装载"}
        ));
    }
}

void tell(
    const agent::CarriedImportReport& report, const CarriedNext& next, const Console& console
) {
    const auto& manifest = report.manifest;
    say(console,
        {"imported in {:.1f} s: {} tables, {} rows loaded; live as of {} of {}",
         "导入完成,用时 {:.1f} 秒:{} 张表,装载 {} 行;数据截至 {},来源 {}"},
        as_seconds(report.took),
        report.tables.size(),
        report.rows_loaded,
        manifest.session.joined_at.to_string(),
        manifest.source);
    say(console,
        {"exported {} by qiao {} at `{}`, digest {}", "导出于 {},qiao {},节点 `{}`,摘要 {}"},
        manifest.made_at.to_string(),
        manifest.tool_version,
        manifest.node,
        report.digest.to_string());
    for (const auto& table : report.tables) {
        say(console,
            {"  {}: {} rows exported, {} counted{}", "  {}:导出 {} 行,清点 {} 行{}"},
            table.target.to_string(),
            table.exported,
            table.counted,
            table.before ? console.pick({", loaded before", "(此前已装载)"}) : "");
    }
    if (report.created) {
        for (const auto& failed : report.created->failed) {
            say(console, {"could not make {}: {}", "无法创建 {}:{}"}, failed.object, failed.error);
        }
        for (const auto& finding : report.created->findings) {
            console.say(describe_finding(finding, console));
        }
    }
    say(console, {"now follow with: {}", "现在可跟随日志:{}"}, next.follow);
}

std::string to_json(const agent::CarriedExportReport& report, const CarriedNext& next) {
    auto object = of(report.manifest, report.digest);
    object["folder"] = next.folder;
    object["tables"] = report.manifest.tables.size();
    object["findings"] = Json::array();
    for (const auto& finding : report.findings) {
        object["findings"].push_back(
            {{"subject", finding.subject}, {"message", finding.message_en}, {"mend", finding.mend}}
        );
    }
    object["left_out"] = Json::array();
    for (const auto& one : report.left_out) {
        object["left_out"].push_back(
            {{"kind", one.kind}, {"object", one.object}, {"reason", one.reason_en}}
        );
    }
    object["leftovers"] = Json::array();
    for (const auto& left : report.leftovers) {
        object["leftovers"].push_back(
            {{"kind", left.kind}, {"name", left.name}, {"bytes_held", left.bytes_held}}
        );
    }
    object["follow"] = next.follow;
    object["drop"] = next.drop;
    object["seconds"] = as_seconds(report.took);
    return dump(object);
}

std::string to_json(const agent::CarriedImportReport& report, const CarriedNext& next) {
    auto object = of(report.manifest, report.digest);
    object["folder"] = next.folder;
    object["rows_loaded"] = report.rows_loaded;
    object["tables"] = Json::array();
    for (const auto& table : report.tables) {
        object["tables"].push_back(
            {{"source", table.source.to_string()},
             {"target", table.target.to_string()},
             {"exported", table.exported},
             {"counted", table.counted},
             {"loaded_before", table.before}}
        );
    }
    object["failed_statements"] = Json::array();
    if (report.created) {
        for (const auto& statement : report.created->failed) {
            object["failed_statements"].push_back(
                {{"object", statement.object}, {"error", statement.error}}
            );
        }
    }
    object["follow"] = next.follow;
    object["seconds"] = as_seconds(report.took);
    return dump(object);
}

}  // namespace qiao::cli
