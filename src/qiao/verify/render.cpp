#include "qiao/verify/report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>

namespace qiao::verify {
namespace {

constexpr size_t kValueBytesShown = 200;

/// What stands between a name in the text and its words in both languages.
struct Words {
    bool chinese;

    std::string_view pick(std::string_view english, std::string_view zh) const {
        return chinese ? zh : english;
    }
};

/// A key value on one line: a terminal must not obey it.
std::string printable(std::string_view value) {
    std::string out = "'";
    for (const char c : value.substr(0, kValueBytesShown)) {
        const auto byte = static_cast<unsigned char>(c);
        constexpr unsigned char kDelete = 0x7F;
        if (byte < ' ' || byte == kDelete || c == '\\') {
            out += fmt::format("\\x{:02x}", byte);
        } else {
            out += c == '\'' ? std::string("''") : std::string(1, c);
        }
    }
    return out + (value.size() > kValueBytesShown ? "…'" : "'");
}

/// `2d`, `36h`, `90s`: in the largest unit that leaves no rest.
std::string period(Duration length) {
    constexpr std::array<std::pair<int64_t, char>, 3> kUnits{{{86'400, 'd'}, {3600, 'h'}, {60, 'm'}}
    };
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(length).count();
    for (const auto& [unit, letter] : kUnits) {
        if (seconds % unit == 0 && seconds != 0) {
            return fmt::format("{}{}", seconds / unit, letter);
        }
    }
    return fmt::format("{}s", seconds);
}

std::string render(const drivers::RangeWanted& wanted, const std::string& table, Words words) {
    const auto& range = wanted.range;
    auto text = table.empty() ? range.column : table + "." + range.column;
    if (wanted.within) {
        return fmt::format(
            "{} {} {}", text, words.pick("of the last", "最近"), period(*wanted.within)
        );
    }
    if (range.from) {
        text += fmt::format(" {} {}", words.pick("from", "自"), printable(*range.from));
    }
    if (range.to) {
        text += fmt::format(" {} {}", words.pick("to", "至"), printable(*range.to));
    }
    return text;
}

std::string sample_words(const Part& part, Words words) {
    const auto percent = part.share * 100.0 / drivers::RowSample::kAll;
    auto text = fmt::format(fmt::runtime(words.pick("{:g} % of rows", "{:g} % 的行")), percent);
    if (part.seed) {
        text += fmt::format(" ({} {})", words.pick("seed", "种子"), *part.seed);
    }
    return text;
}

std::string name_row(const Difference& difference, Words words) {
    if (difference.key.empty()) {
        return fmt::format("{} {}", words.pick("row", "行"), difference.row);
    }
    std::string text;
    for (const auto& part : difference.key) {
        text += fmt::format(
            "{}{}={}",
            text.empty() ? "" : ", ",
            part.column,
            part.value ? printable(*part.value) : "NULL"
        );
    }
    return text;
}

std::string render(const Difference& difference, Words words) {
    const auto row = name_row(difference, words);
    switch (difference.kind) {
        case Difference::Kind::MissingAtTarget:
            return fmt::format("{}: {}", row, words.pick("missing at the target", "目标端缺失"));
        case Difference::Kind::ExtraAtTarget:
            return fmt::format("{}: {}", row, words.pick("not at the source", "源端没有"));
        case Difference::Kind::Copies:
            return words.chinese ? fmt::format(
                                       "{}: 源端 {} 份,目标端 {} 份",
                                       row,
                                       difference.source_copies,
                                       difference.target_copies
                                   )
                                 : fmt::format(
                                       "{}: {} at the source, {} at the target",
                                       row,
                                       difference.source_copies,
                                       difference.target_copies
                                   );
        case Difference::Kind::Differs:
            break;
    }
    const auto columns = fmt::format("{}", fmt::join(difference.columns, ", "));
    return fmt::format("{}: {} {}", row, words.pick("differs in", "以下列不同:"), columns);
}

std::string render(const ColumnFinding& finding, Words words) {
    const auto column = fmt::format("{} {}", words.pick("column", "列"), finding.column);
    switch (finding.kind) {
        case ColumnFinding::Kind::MissingAtTarget:
            return fmt::format("{}: {}", column, words.pick("missing at the target", "目标端缺失"));
        case ColumnFinding::Kind::MissingAtSource:
            return fmt::format("{}: {}", column, words.pick("not at the source", "源端没有"));
        case ColumnFinding::Kind::TypesDiffer:
            break;
    }
    return fmt::format(
        "{}: {} / {}, {}",
        column,
        finding.source_type,
        finding.target_type,
        words.pick("compared as text", "按文本比较")
    );
}

std::string why(const TableReport& report, Words words) {
    switch (report.doubt) {
        case Doubt::None:
        case Doubt::Failed:
            return report.error ? report.error->to_string() : std::string();
        case Doubt::NotApplied:
            return fmt::format(
                "{} {}",
                words.pick(
                    "the target did not reach the source's position in time:",
                    "目标端未在时限内追上源端位置:"
                ),
                report.error ? report.error->to_string() : std::string()
            );
        case Doubt::Moving:
            return std::string(
                report.level == Level::Table
                    ? words.pick(
                          "the number of rows kept changing; compare with --level field",
                          "行数持续变化;请使用 --level field 校验"
                      )
                    : words.pick(
                          "rows kept changing; run it again when they rest",
                          "部分行持续变化;请在其静止后重新校验"
                      )
            );
        case Doubt::TooMany:
            break;
    }
    return std::string(words.pick(
        "too much differs to look at each row; load the table anew",
        "差异过多,无法逐行核对;请重新初始化该表"
    ));
}

std::string headline(const TableReport& report, Words words) {
    auto name = report.source.to_string();
    if (report.target != report.source) {
        name += " = " + report.target.to_string();
    }
    const auto rows = words.chinese
                          ? fmt::format("{} / {} 行", report.source_rows, report.target_rows)
                          : fmt::format("{} / {} rows", report.source_rows, report.target_rows);
    const auto took = fmt::format("{:.1f} {}", report.seconds, words.pick("s", "秒"));
    switch (report.verdict) {
        case Verdict::Equal: {
            const auto verdict = report.part.whole()
                                     ? words.pick("equal", "一致")
                                     : words.pick("equal in part", "所比对部分一致");
            return fmt::format("{}: {}, {}, {}\n", name, verdict, rows, took);
        }
        case Verdict::Different: {
            const auto least = report.unexamined + report.unsettled != 0
                                   ? words.pick("at least ", "至少 ")
                                   : std::string_view();
            const auto count = words.chinese ? fmt::format("{}{} 处差异", least, report.confirmed)
                                             : fmt::format(
                                                   "{}{} difference{}",
                                                   least,
                                                   report.confirmed,
                                                   report.confirmed == 1 ? "" : "s"
                                               );
            const auto verdict = words.pick("DIFFERENT", "不一致");
            return report.level == Level::Table
                       ? fmt::format("{}: {}, {}, {}\n", name, verdict, rows, took)
                       : fmt::format("{}: {}, {}, {}, {}\n", name, verdict, count, rows, took);
        }
        case Verdict::CouldNotTell:
            break;
    }
    return fmt::format(
        "{}: {}, {}\n", name, words.pick("could not tell", "无法判定"), why(report, words)
    );
}

}  // namespace

std::string render(const Part& part, const std::string& table, Language language) {
    const Words words{language == Language::Chinese};
    std::string text = part.share == 0 ? std::string() : sample_words(part, words);
    if (part.range) {
        text += (text.empty() ? "" : "; ") + render(*part.range, table, words);
    }
    return text;
}

std::string render(const TableReport& report, Language language) {
    const Words words{language == Language::Chinese};
    auto text = headline(report, words);
    if (!report.part.whole()) {
        const auto part = render(report.part, report.source.to_string(), language);
        text += fmt::format("  {}: {}\n", words.pick("only", "仅比对"), part);
    }
    if (report.doubt == Doubt::Failed && report.error) {
        text += fmt::format("  → {}\n", report.error->info().next_step(language));
    }
    for (const auto& finding : report.findings) {
        text += fmt::format("  {}\n", render(finding, words));
    }
    for (const auto& difference : report.differences) {
        text += fmt::format("  {}\n", render(difference, words));
    }
    if (report.confirmed > report.differences.size()) {
        const auto more = report.confirmed - report.differences.size();
        text += words.chinese ? fmt::format("  另有 {} 处\n", more)
                              : fmt::format("  and {} more\n", more);
    }
    if (report.unsettled != 0) {
        text += words.chinese ? fmt::format("  {} 行持续变化,未能判定\n", report.unsettled)
                              : fmt::format("  {} rows kept changing\n", report.unsettled);
    }
    if (report.unexamined != 0) {
        text +=
            words.chinese
                ? fmt::format("  {} 个分桶不同,未逐行核对\n", report.unexamined)
                : fmt::format("  {} buckets differ and were not looked into\n", report.unexamined);
    }
    return text;
}

std::string render(const VerifyReport& report, Language language) {
    const Words words{language == Language::Chinese};
    std::string text;
    size_t equal = 0;
    size_t different = 0;
    for (const auto& table : report.tables) {
        text += render(table, language);
        equal += table.verdict == Verdict::Equal ? 1 : 0;
        different += table.verdict == Verdict::Different ? 1 : 0;
    }
    const auto doubtful = report.tables.size() - equal - different;
    if (!report.whole()) {
        text += words.pick(
            "compared in part: this proves nothing of the other rows\n",
            "仅比对了部分行:不能证明其余行一致\n"
        );
    }
    return text + fmt::format(
                      fmt::runtime(words.pick(
                          "{} equal, {} different, {} could not be told, {:.1f} s\n",
                          "一致 {} 张,不一致 {} 张,无法判定 {} 张,用时 {:.1f} 秒\n"
                      )),
                      equal,
                      different,
                      doubtful,
                      report.seconds
                  );
}

}  // namespace qiao::verify
