#include "qiao/capture/timestamp_data_source.h"

#include "qiao/capture/timestamp_check.h"
#include "qiao/capture/timestamp_snapshot.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::capture {
namespace {

using drivers::Finding;
using Verdict = Finding::Verdict;

int64_t minutes_of(Duration duration) {
    return std::chrono::duration_cast<std::chrono::minutes>(duration).count();
}

Finding blindness(const std::string& subject, Duration overlap) {
    return {
        Verdict::Warning,
        subject,
        fmt::format(
            "transactions of other users cannot be seen: a commit more than {} min after its "
            "stamp is missed until everything is read again (--read-again)",
            minutes_of(overlap)
        ),
        fmt::format(
            "看不到其他用户的事务:提交时间晚于时间戳 {} 分钟以上的行会遗漏,直到全部重读"
            "(--read-again)",
            minutes_of(overlap)
        ),
        "GRANT pg_read_all_stats TO CURRENT_USER; -- on the primary, by an administrator"
    };
}

}  // namespace

TimestampDataSource::TimestampDataSource(
    TimestampOptions options,
    std::unique_ptr<drivers::RowDatabase> database,
    std::string identity,
    Executor& executor,
    Clock& clock
)
    : options_(std::move(options)),
      database_(std::move(database)),
      identity_(std::move(identity)),
      executor_(executor),
      clock_(clock) {}

Task<Status> TimestampDataSource::reach() {
    QIAO_CO_TRY(const auto query, co_await database_->connect());
    co_return Status{};
}

Task<Result<DataSource::Choice>> TimestampDataSource::choose(std::vector<std::string> patterns) {
    QIAO_CO_TRY(const auto query, co_await database_->connect());
    QIAO_CO_TRY(const auto found, co_await query->find(std::move(patterns)));
    if (found.size() != 1) {
        co_return Error(
            ErrorCode::Config,
            fmt::format(
                "by timestamp a stream carries one table or view; {} are named", found.size()
            )
        );
    }
    options_.table.table = found.front();
    QIAO_CO_TRY(const auto schema, co_await query->describe(options_.table));
    const auto name = options_.table.table.to_string();
    if (options_.table.keys.empty()) {
        for (const auto index : schema.key_columns()) {
            options_.table.keys.push_back(schema.columns[index].name);
        }
    }
    if (options_.table.keys.empty()) {
        co_return Error(ErrorCode::CaptureTable, name + ": it has no primary key; declare --key");
    }
    if (!options_.flag.empty() && !schema.find_column(options_.flag)) {
        co_return Error(ErrorCode::DbNoTable, fmt::format("{}: no column {}", name, options_.flag));
    }
    Choice choice;
    choice.tables = found;
    QIAO_CO_TRY(const auto facts, co_await query->glance(options_.table));
    choice.findings = judge_timed_table(options_, facts);
    std::erase_if(choice.findings, [](const auto& one) { return one.verdict == Verdict::Good; });
    QIAO_CO_TRY(const auto now, co_await query->now(options_.table));
    if (now.blind) {
        choice.findings.push_back(blindness(name, options_.overlap));
    }
    co_return choice;
}

Task<Status> TimestampDataSource::prepare(
    StreamId /*stream*/, std::vector<model::TableName> /*tables*/
) {
    co_return Status{};  // nothing is made in the source
}

std::unique_ptr<StreamingSource> TimestampDataSource::streaming(StreamId /*stream*/) {
    return std::make_unique<TimestampSource>(options_, *database_, executor_, clock_, progress_);
}

std::unique_ptr<SnapshotSource> TimestampDataSource::snapshot(StreamId /*stream*/) {
    return std::make_unique<TimestampSnapshotSource>(options_, *database_, progress_);
}

Task<Result<drivers::Structure>> TimestampDataSource::structure(
    std::vector<drivers::TablePair> tables
) {
    if (tables.size() != 1) {
        co_return Error(ErrorCode::Config, "by timestamp a stream carries one table or view");
    }
    QIAO_CO_TRY(const auto query, co_await database_->connect());
    auto target = std::move(tables.front().target);
    co_return co_await query->structure(options_.table, std::move(target));
}

/// Whatever poll begins after now is past it once it is complete, and no other is.
Task<Result<model::SourcePosition>> TimestampDataSource::flushed_position() {
    if (!progress_->begin_at) {
        progress_->begin_at = "";  // a stream whose end is asked for waits for no load
    }
    QIAO_CO_TRY(const auto query, co_await database_->connect());
    QIAO_CO_TRY(const auto now, co_await query->now(options_.table));
    Watermark mark{now.wall, Watermark::kWholePoll, ""};
    mark.poll.us = std::max(mark.poll.us, progress_->last_poll.us + 1);
    co_return mark.position(timestamp_history(options_.table));
}

std::vector<Finding> TimestampDataSource::notes() const {
    const auto& since = progress_->held_back_since;
    if (since.empty()) {
        return {};
    }
    return {
        {Verdict::Warning,
         options_.table.table.to_string(),
         fmt::format(
             "a transaction is open at the source since {}, longer than the overlap of {} min: "
             "until it ends, every poll reads all rows from then on",
             since,
             minutes_of(options_.overlap)
         ),
         fmt::format(
             "源端有事务自 {} 起未结束,已超过重叠窗口 {} "
             "分钟:在其结束前,每次轮询都会读取此后的全部行",
             since,
             minutes_of(options_.overlap)
         ),
         "SELECT pid, usename, xact_start FROM pg_stat_activity ORDER BY xact_start LIMIT 3;"}
    };
}

Task<Result<std::vector<Leftover>>> TimestampDataSource::leftovers(StreamId /*stream*/) {
    co_return std::vector<Leftover>{};
}

Task<Result<std::vector<std::string>>> TimestampDataSource::drop(StreamId /*stream*/) {
    co_return std::vector<std::string>{};
}

}  // namespace qiao::capture
