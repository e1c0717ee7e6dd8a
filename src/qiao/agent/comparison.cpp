#include "qiao/agent/comparison.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace qiao::agent {

using verify::TableOutcome;
using verify::Verdict;

Comparison::Comparison(Parts parts, ComparisonOptions options)
    : parts_(std::move(parts)),
      options_(std::move(options)),
      verifier_(
          {parts_.executor, parts_.clock, parts_.rng, parts_.source, parts_.target, parts_.flow},
          options_.verify
      ) {
    if (options_.part.share != 0 && !options_.part.seed) {
        options_.part.seed = static_cast<uint32_t>(parts_.rng.number());
    }
}

ComparisonProgress Comparison::progress() const {
    auto progress = progress_;
    progress.rows_read = parts_.source.rows_read();
    return progress;
}

Task<ComparisonReport> Comparison::run(std::vector<verify::TablePair> pairs, StopSignal& stop) {
    const auto start = parts_.clock.now();
    report_.report.level = options_.verify.level;
    report_.report.started = parts_.clock.wall_now();
    progress_.tables = pairs.size();
    for (auto& pair : pairs) {
        if (stop.requested()) {
            break;
        }
        pair.part = options_.part;
        co_await compare(std::move(pair), stop);
        ++progress_.tables_done;
    }
    progress_.phase = ComparisonProgress::Phase::Done;
    report_.report.seconds = std::chrono::duration<double>(parts_.clock.now() - start).count();
    co_return std::move(report_);
}

Task<void> Comparison::compare(verify::TablePair pair, StopSignal& stop) {
    progress_.table = pair.source.to_string();
    progress_.phase = ComparisonProgress::Phase::Comparing;
    auto outcome = co_await verifier_.verify(std::move(pair), stop);
    const bool different = outcome.report.verdict == Verdict::Different;
    if (options_.repair && different && !outcome.repair.rows.empty()) {
        co_await repair_until_equal(std::move(outcome), stop);
    } else {
        co_await conclude(std::move(outcome.report), stop);
    }
}

/// What a table was found to be goes into the report; one that is equal may be told so.
Task<void> Comparison::conclude(verify::TableReport report, StopSignal& stop) {
    const bool proof = report.verdict == Verdict::Equal && report.level == verify::Level::Field &&
                       report.part.whole();
    if (proof && parts_.prove) {
        // The flow may have ended meanwhile: then the table stays unproven, and that is shown.
        // Its snapshot's position may lie behind a commit that it does not show yet.
        (void)co_await parts_.prove(report.source, report.as_of, stop);
    }
    report_.report.tables.push_back(std::move(report));
}

Task<void> Comparison::repair_until_equal(TableOutcome outcome, StopSignal& stop) {
    report_.before.push_back(outcome.report);
    RepairReport repaired;
    repaired.table = outcome.report.source;
    for (uint32_t round = 0; round < options_.repair_rounds; ++round) {
        // The same rows again, whatever the time has become.
        const verify::TablePair pair{
            outcome.report.source, outcome.report.target, {}, outcome.report.part
        };
        progress_.phase = ComparisonProgress::Phase::Repairing;
        auto done = co_await repair_once(std::move(outcome.repair), repaired, stop);
        if (!done) {
            repaired.error = std::move(done).error();
            break;
        }
        progress_.phase = ComparisonProgress::Phase::Comparing;
        outcome = co_await verifier_.verify(pair, stop);
        if (outcome.report.verdict != Verdict::Different || outcome.repair.rows.empty()) {
            break;
        }
    }
    report_.repairs.push_back(std::move(repaired));
    co_await conclude(std::move(outcome.report), stop);
}

Task<Status> Comparison::repair_once(
    verify::RepairList list, RepairReport& report, StopSignal& stop
) {
    if (!parts_.repair) {
        co_return Error(ErrorCode::VerifyNoRepair, report.table.to_string());
    }
    QIAO_CO_TRY(const auto sent, co_await parts_.repair(std::move(list), stop));
    report.changes += sent.changes;
    report.left_out += sent.left_out;
    if (sent.changes == 0 || !parts_.flow.wait_applied) {
        co_return Status{};
    }
    const Deadline deadline{parts_.clock.now() + options_.verify.wait_limit};
    co_return co_await parts_.flow.wait_applied(sent.position, deadline, stop);
}

std::string render(const ComparisonReport& report, Language language) {
    const bool chinese = language == Language::Chinese;
    std::string text;
    if (!report.before.empty()) {
        text += chinese ? "修复前:\n" : "before the repair:\n";
        for (const auto& table : report.before) {
            text += verify::render(table, language);
        }
        for (const auto& one : report.repairs) {
            text += fmt::format(
                fmt::runtime(
                    chinese ? "{}:已按源端位置发送 {} 条修复变更,{} 行无法由源端修复\n"
                            : "{}: {} changes sent as repair, {} rows cannot be mended from the "
                              "source\n"
                ),
                one.table.to_string(),
                one.changes,
                one.left_out
            );
            if (one.error) {
                text += "  " + one.error->to_string() + "\n";
            }
        }
        text += chinese ? "\n修复后:\n" : "\nafter the repair:\n";
    }
    return text + verify::render(report.report, language);
}

std::string to_json(const ComparisonReport& report) {
    auto object = nlohmann::ordered_json::parse(verify::to_json(report.report));
    auto repairs = nlohmann::ordered_json::array();
    for (const auto& one : report.repairs) {
        nlohmann::ordered_json entry{
            {"table", one.table.to_string()},
            {"changes", one.changes},
            {"left_out", one.left_out},
            {"error", nullptr}
        };
        if (one.error) {
            entry["error"] = {{"code", one.error->info().name}, {"detail", one.error->detail()}};
        }
        repairs.push_back(std::move(entry));
    }
    object["repairs"] = std::move(repairs);
    verify::VerifyReport before;
    before.level = report.report.level;
    before.tables = report.before;
    object["before"] = nlohmann::ordered_json::parse(verify::to_json(before))["tables"];
    return object.dump();
}

}  // namespace qiao::agent
