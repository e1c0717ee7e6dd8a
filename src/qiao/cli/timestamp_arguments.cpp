#include "qiao/cli/timestamp_arguments.h"

namespace qiao::cli {

void TimestampArguments::add_to(CLI::App& command, const Console& console) {
    const auto say = [&console](Text text) { return std::string(console.pick(text)); };
    command
        .add_option(
            "--mode",
            mode_,
            say(
                {"how changes are found: log (default), or timestamp for one table or view by the "
                 "time of change of its rows",
                 "变更获取方式:log 日志(默认),或 timestamp 按行的变更时间采集一张表或视图"}
            )
        )
        ->check(CLI::IsMember({"log", "timestamp"}));
    command.add_option(
        "--column",
        column_,
        say({"timestamp: the column with the time of the last change", "timestamp:变更时间列"})
    );
    command
        .add_option(
            "--key",
            key_,
            say(
                {"timestamp: columns that name a row, unless the primary key does",
                 "timestamp:主键项(默认为表的主键)"}
            )
        )
        ->delimiter(',');
    command.add_option(
        "--valid", valid_, say({"timestamp: the validity column", "timestamp:有效标志列"})
    );
    command
        .add_option(
            "--deleted",
            deleted_,
            say(
                {"timestamp: values of the validity column that mean a deleted row",
                 "timestamp:有效标志列中表示已删除的取值"}
            )
        )
        ->delimiter(',');
    command
        .add_option(
            "--overlap",
            overlap_,
            say(
                {"timestamp: seconds that a commit may come after its stamp (600); transactions "
                 "seen open at the source are waited for beyond that",
                 "timestamp:提交时间可晚于时间戳的秒数(600);源端可见的未结束事务不受此限"}
            )
        )
        ->check(CLI::Range(0, 31 * 24 * 3600));
    command
        .add_option(
            "--every",
            every_,
            say({"timestamp: seconds between two polls (10)", "timestamp:轮询间隔秒数(10)"})
        )
        ->check(CLI::Range(1, 24 * 3600));
    command.add_option(
        "--zone",
        zone_,
        say(
            {"timestamp: zone of stamps that have none, unless the database's",
             "timestamp:无时区时间戳所用的时区(默认为数据库时区)"}
        )
    );
    command.add_flag(
        "--read-again",
        read_again_,
        say(
            {"timestamp: read all rows once more, for those that came later than --overlap",
             "timestamp:全部重读一次,补上晚于 --overlap 提交的行"}
        )
    );
}

std::string TimestampArguments::usage_error(bool drop) const {
    const bool declared = !column_.empty() || !key_.empty() || !valid_.empty() ||
                          !deleted_.empty() || !zone_.empty() || read_again_;
    if (!chosen()) {
        return declared ? "--column, --key, --valid, --deleted, --zone and --read-again belong to "
                          "--mode timestamp"
                        : "";
    }
    if (column_.empty() && !drop) {
        return "--column is required: the column with the time of the last change";
    }
    if (valid_.empty() != deleted_.empty()) {
        return "--valid names the column, --deleted its values that mean a deleted row";
    }
    return "";
}

std::optional<agent::TimedChoice> TimestampArguments::choice() const {
    if (!chosen()) {
        return std::nullopt;
    }
    agent::TimedChoice timed;
    timed.zone = zone_;
    timed.options.table.stamp = column_;
    timed.options.table.keys = key_;
    timed.options.flag = valid_;
    for (const auto& value : deleted_) {
        agent::add_deleted_value(timed, value);
    }
    timed.options.overlap = std::chrono::seconds(overlap_);
    timed.options.every = std::chrono::seconds(every_);
    timed.options.read_again = read_again_;
    return timed;
}

}  // namespace qiao::cli
