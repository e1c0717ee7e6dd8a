#include "qiao/cli/check_report.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace qiao::cli {
namespace {

using drivers::Finding;

std::string_view to_text(Finding::Verdict verdict) {
    switch (verdict) {
        case Finding::Verdict::Good:
            return "good";
        case Finding::Verdict::Warning:
            return "warning";
        case Finding::Verdict::Bad:
            break;
    }
    return "bad";
}

Text word_of(Finding::Verdict verdict) {
    switch (verdict) {
        case Finding::Verdict::Good:
            return {"good   ", "正常"};
        case Finding::Verdict::Warning:
            return {"warning", "警告"};
        case Finding::Verdict::Bad:
            break;
    }
    return {"BAD    ", "错误"};
}

}  // namespace

void CheckReport::add(std::string part, std::vector<Finding> findings) {
    for (auto& finding : findings) {
        entries_.push_back({part, std::move(finding)});
    }
}

void CheckReport::good(std::string part, std::string subject, Text message) {
    add(std::move(part),
        {{Finding::Verdict::Good,
          std::move(subject),
          std::string(message.en),
          std::string(message.zh),
          ""}});
}

void CheckReport::bad(std::string part, std::string subject, Text message, std::string mend) {
    add(std::move(part),
        {{Finding::Verdict::Bad,
          std::move(subject),
          std::string(message.en),
          std::string(message.zh),
          std::move(mend)}});
}

void CheckReport::warning(std::string part, std::string subject, Text message, std::string mend) {
    add(std::move(part),
        {{Finding::Verdict::Warning,
          std::move(subject),
          std::string(message.en),
          std::string(message.zh),
          std::move(mend)}});
}

void CheckReport::unknown(std::string part, const Error& error) {
    unknown_.emplace_back(std::move(part), error);
}

int CheckReport::exit_status() const {
    constexpr int kBad = 1;
    constexpr int kUnknown = 2;
    const auto is_bad = [](const Entry& entry) {
        return entry.finding.verdict == Finding::Verdict::Bad;
    };
    if (std::ranges::any_of(entries_, is_bad)) {
        return kBad;
    }
    return unknown_.empty() ? kExitDone : kUnknown;
}

void CheckReport::show(const Console& console) const {
    auto findings = nlohmann::json::array();
    for (const auto& [part, finding] : entries_) {
        findings.push_back(
            {{"part", part},
             {"verdict", to_text(finding.verdict)},
             {"subject", finding.subject},
             {"message", finding.message_en},
             {"message_zh", finding.message_zh},
             {"mend", finding.mend}}
        );
        console.say(fmt::format(
            "{} {} {}: {}",
            console.pick(word_of(finding.verdict)),
            part,
            finding.subject,
            console.pick({finding.message_en, finding.message_zh})
        ));
        if (!finding.mend.empty()) {
            console.say("        → " + finding.mend);
        }
    }
    auto unknown = nlohmann::json::array();
    for (const auto& [part, error] : unknown_) {
        const auto& info = error.info();
        unknown.push_back(
            {{"part", part},
             {"code", info.name},
             {"detail", error.detail()},
             {"next_step", info.next_en}}
        );
        console.say(fmt::format(
            "?       {}: {}\n        → {}",
            part,
            error.to_string(),
            info.next_step(console.language())
        ));
    }
    if (console.json) {
        const nlohmann::json whole{
            {"findings", std::move(findings)},
            {"unknown", std::move(unknown)},
            {"exit_status", exit_status()}
        };
        console.put_json(whole.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    }
}

}  // namespace qiao::cli
