#include "qiao/cli/command.h"
#include "qiao/cli/target_stream.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <memory>

namespace qiao::cli {
namespace {

/// A list for people ends here; --json has everything.
constexpr size_t kRowsShown = 50;

struct Arguments {
    TargetStreamArguments stream;
    std::string table, key;
    bool replay = false, skip = false, json = false;
};

nlohmann::json to_json(const drivers::ErrorRow& row) {
    return {
        {"number", row.number},
        {"table", row.table.to_string()},
        {"key", row.key_text},
        {"code", row.code},
        {"detail", row.detail},
        {"position", row.position.to_string()}
    };
}

std::string describe(const drivers::ErrorRow& row) {
    return fmt::format(
        "{} [{}]: {}{}{}",
        row.table.to_string(),
        row.key_text,
        row.code,
        row.detail.empty() ? "" : ": ",
        row.detail
    );
}

Task<Result<int>> list(TargetStream& stream, const Arguments& arguments, const Console& console) {
    drivers::ErrorRange range;
    if (!arguments.table.empty()) {
        QIAO_CO_TRY(range.table, one_table(arguments.table));
    }
    auto all = nlohmann::json::array();
    size_t rows = 0;
    while (true) {
        QIAO_CO_TRY(const auto page, co_await stream.intervention->errors(range));
        for (const auto& row : page) {
            range.after = row.number;
            if (!arguments.key.empty() && row.key_text != arguments.key) {
                continue;
            }
            ++rows;
            if (arguments.json) {
                all.push_back(to_json(row));
            } else if (rows <= kRowsShown) {
                console.say(describe(row));
            }
        }
        if (page.empty()) {
            break;
        }
    }
    if (arguments.json) {
        console.put_json(nlohmann::json{
            {"changes", rows}, {"errors", std::move(all)}
        }.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    } else {
        console.say(fmt::format(
            fmt::runtime(console.pick({"{} changes wait", "共有 {} 条变更被搁置"})), rows
        ));
    }
    co_return rows == 0 ? kExitDone : kExitFailed;
}

Task<Result<int>> replay(
    TargetStream& stream, const Arguments& arguments, const Console& console, StopSignal& stop
) {
    auto options = stream.replay_options();
    if (!arguments.table.empty()) {
        QIAO_CO_TRY(options.table, one_table(arguments.table));
    }
    options.key = arguments.key;
    QIAO_CO_TRY(const auto report, co_await stream.intervention->replay(std::move(options), stop));
    auto refused = nlohmann::json::array();
    for (const auto& row : report.refused) {
        refused.push_back(to_json(row));
        console.say(describe(row));
    }
    console.say(fmt::format(
        fmt::runtime(
            console.pick({"{} changes applied, {} still wait", "已补上 {} 条变更,仍有 {} 条被搁置"})
        ),
        report.applied,
        report.kept
    ));
    if (arguments.json) {
        const nlohmann::json object{
            {"applied", report.applied}, {"kept", report.kept}, {"refused", std::move(refused)}
        };
        console.put_json(object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    }
    co_return report.kept == 0 ? kExitDone : kExitFailed;
}

Task<Result<int>> skip(TargetStream& stream, const Arguments& arguments, const Console& console) {
    QIAO_CO_TRY(const auto table, one_table(arguments.table));
    QIAO_CO_TRY(const auto dropped, co_await stream.intervention->skip(table, arguments.key));
    console.say(fmt::format(
        fmt::runtime(console.pick(
            {"{} changes dropped; {} is unproven until qiao verify --repair",
             "已丢弃 {} 条变更;{} 在 qiao verify --repair 之前视为未经验证"}
        )),
        dropped,
        table.to_string()
    ));
    if (arguments.json) {
        console.put_json(nlohmann::json{{"dropped", dropped}}.dump());
    }
    co_return kExitDone;
}

int run(const Arguments& arguments, Console& console) {
    console.json = arguments.json;
    auto wrong = arguments.stream.usage_error();
    if (arguments.skip && (arguments.table.empty() || arguments.key.empty())) {
        wrong = "--skip wants --table and --key, as listed";
    }
    if (!arguments.key.empty() && arguments.table.empty()) {
        wrong = "--key wants --table";
    }
    if (!wrong.empty()) {
        console.fail(Error(ErrorCode::Config, wrong));
        return kExitUsage;
    }
    const auto work = [&](TargetStream& stream, StopSignal& stop) {
        return arguments.replay ? replay(stream, arguments, console, stop)
               : arguments.skip ? skip(stream, arguments, console)
                                : list(stream, arguments, console);
    };
    return run_at_target(arguments.stream, console, work);
}

}  // namespace

void add_errors_command(Program program) {
    const auto& console = program.console;
    const auto say = [&console](Text text) { return std::string(console.pick(text)); };
    auto* command = program.app.add_subcommand(
        "errors",
        say(
            {"List the changes that a target has laid aside, replay or drop them; exit 1 while "
             "some "
             "wait",
             "列出目标端搁置的变更,补上或丢弃它们;仍有搁置时退出码为 1"}
        )
    );
    const auto arguments = std::make_shared<Arguments>();
    arguments->stream.add_to(*command, console);
    command->add_option("--table", arguments->table, say({"S.T at the source", "源端的 S.T"}));
    command->add_option(
        "--key", arguments->key, say({"a row, as the list names it", "列表所示的行名"})
    );
    auto* replay = command->add_flag(
        "--replay",
        arguments->replay,
        say({"apply what waits, each row in order", "按行内顺序补上被搁置的变更"})
    );
    command
        ->add_flag(
            "--skip",
            arguments->skip,
            say({"drop what waits behind --key of --table", "丢弃 --table 中 --key 之后的变更"})
        )
        ->excludes(replay);
    command->add_flag(
        "--json", arguments->json, say({"one object on stdout", "在标准输出给出一个 JSON 对象"})
    );
    command->callback([arguments, &console = program.console, &status = program.exit_status] {
        status = run(*arguments, console);
    });
}

}  // namespace qiao::cli
