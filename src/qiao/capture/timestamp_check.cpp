#include "qiao/capture/timestamp_check.h"

#include <fmt/format.h>

namespace qiao::capture {
namespace {

using drivers::Finding;
using Verdict = Finding::Verdict;

class Findings {
public:
    explicit Findings(std::string subject) : subject_(std::move(subject)) {}

    void add(Verdict verdict, std::string en, std::string zh, std::string mend = "") {
        all.push_back({verdict, subject_, std::move(en), std::move(zh), std::move(mend)});
    }

    std::vector<Finding> all;

private:
    std::string subject_;
};

void judge_stamps(const std::string& column, const drivers::TimedFacts& facts, Findings& findings) {
    if (facts.stamps_null != 0) {
        findings.add(
            Verdict::Bad,
            fmt::format("{} rows have no {}: they are never seen", facts.stamps_null, column),
            fmt::format("{} 行的 {} 为空,将无法采集", facts.stamps_null, column),
            "-- fill the column, then make it NOT NULL"
        );
    }
    if (facts.stamps_malformed != 0) {
        findings.add(
            Verdict::Bad,
            fmt::format(
                "{} values of {} are not yyyy-MM-dd hh:mm:ss", facts.stamps_malformed, column
            ),
            fmt::format(
                "{} 个 {} 值不符合 yyyy-MM-dd hh:mm:ss 格式", facts.stamps_malformed, column
            ),
            "-- correct them: as text they sort wrongly"
        );
    }
    if (facts.stamps_future != 0) {
        findings.add(
            Verdict::Warning,
            fmt::format(
                "{} rows have a {} in the future: they come when it is reached",
                facts.stamps_future,
                column
            ),
            fmt::format("{} 行的 {} 晚于当前时间,到期后才会采集", facts.stamps_future, column),
            "-- look at the application's clock and time zone"
        );
    }
    if (!facts.stamp_indexed && !facts.is_view) {
        findings.add(
            Verdict::Warning,
            fmt::format("no index begins with {}: every poll reads the whole table", column),
            fmt::format("{} 上没有索引,每次轮询都会全表扫描", column),
            "CREATE INDEX ON … (" + column + ");"
        );
    }
}

void judge_keys(const drivers::TimedFacts& facts, Findings& findings) {
    if (facts.keys_null != 0) {
        findings.add(
            Verdict::Bad,
            fmt::format("{} rows have a null in their key", facts.keys_null),
            fmt::format("{} 行的主键项为空", facts.keys_null)
        );
    }
    if (facts.keys_repeated != 0) {
        findings.add(
            Verdict::Bad,
            fmt::format(
                "{} keys belong to more than one row: only the newest would arrive",
                facts.keys_repeated
            ),
            fmt::format("{} 个主键值对应多行,只有最新一行会到达", facts.keys_repeated)
        );
    } else if (!facts.keys_unique_by_index && !facts.is_view) {
        findings.add(
            Verdict::Warning,
            "the key is unique now, but no index keeps it so",
            "主键目前唯一,但没有唯一索引保证"
        );
    }
}

}  // namespace

std::vector<Finding> judge_timed_table(
    const TimestampOptions& options, const drivers::TimedFacts& facts
) {
    Findings findings(options.table.table.to_string());
    const auto& stamp = options.table.stamp;
    if (!facts.stamp_is_time) {
        findings.add(Verdict::Bad, stamp + " is not a time", stamp + " 不是时间类型");
        return std::move(findings.all);
    }
    if (options.table.keys.empty()) {
        findings.add(Verdict::Bad, "no key columns are declared", "未声明主键项");
        return std::move(findings.all);
    }
    judge_stamps(stamp, facts, findings);
    judge_keys(facts, findings);
    if (options.flag.empty()) {
        findings.add(
            Verdict::Warning,
            "no validity flag is declared: deleted rows stay at the target until a repair",
            "未声明有效标志列,源端删除的行在修复前会留在目标端"
        );
    }
    if (findings.all.empty()) {
        findings.add(
            Verdict::Good,
            fmt::format("{} rows keep what is declared of them", facts.rows),
            fmt::format("{} 行均符合声明", facts.rows)
        );
    }
    return std::move(findings.all);
}

Task<Result<std::vector<Finding>>> check_timed_table(
    drivers::RowQuery& query, TimestampOptions options
) {
    QIAO_CO_TRY(const auto facts, co_await query.probe(options.table));
    co_return judge_timed_table(options, facts);
}

}  // namespace qiao::capture
