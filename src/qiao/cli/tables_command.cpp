#include "qiao/cli/command.h"
#include "qiao/cli/target_stream.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <memory>

namespace qiao::cli {
namespace {

struct Arguments {
    TargetStreamArguments stream;
    std::string pause, resume, resync;
    bool json = false;
};

Task<Status> show(TargetStream& stream, const Arguments& arguments, const Console& console) {
    QIAO_CO_TRY(const auto tables, co_await stream.intervention->tables());
    QIAO_CO_TRY(const auto open, co_await stream.intervention->open_errors());
    auto all = nlohmann::json::array();
    for (const auto& state : tables) {
        const auto rows = open.rows.find(state.table);
        const auto waiting = rows == open.rows.end() ? 0 : rows->second;
        const auto name = drivers::name_of(state.status);
        all.push_back(
            {{"table", state.table.to_string()},
             {"state", name},
             {"generation", state.generation},
             {"joined_at", state.joined_at.to_string()},
             {"laid_aside", waiting},
             {"note", state.note}}
        );
        if (!arguments.json) {
            console.say(fmt::format(
                fmt::runtime(
                    waiting == 0
                        ? console.pick({"{}: {}", "{}:{}"})
                        : console.pick({"{}: {}, {} changes wait", "{}:{},{} 条变更被搁置"})
                ),
                state.table.to_string(),
                name,
                waiting
            ));
            if (!state.note.empty()) {
                console.say("  " + state.note);
            }
        }
    }
    if (arguments.json) {
        console.put_json(nlohmann::json{{"tables", std::move(all)}
        }.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    }
    co_return Status{};
}

Task<Result<int>> resume(
    TargetStream& stream, model::TableName table, const Console& console, StopSignal& stop
) {
    auto options = stream.replay_options();
    options.table = std::move(table);
    options.resume = true;
    QIAO_CO_TRY(const auto report, co_await stream.intervention->replay(std::move(options), stop));
    console.say(fmt::format(
        fmt::runtime(
            console.pick({"{} changes applied, {} still wait", "已补上 {} 条变更,仍有 {} 条被搁置"})
        ),
        report.applied,
        report.kept
    ));
    co_return report.kept == 0 ? kExitDone : kExitFailed;
}

Task<Result<int>> act(
    TargetStream& stream, const Arguments& arguments, const Console& console, StopSignal& stop
) {
    int exit_status = kExitDone;
    if (!arguments.pause.empty()) {
        QIAO_CO_TRY(const auto table, one_table(arguments.pause));
        QIAO_CO_CHECK(co_await stream.intervention->pause(table));
    } else if (!arguments.resync.empty()) {
        QIAO_CO_TRY(const auto table, one_table(arguments.resync));
        QIAO_CO_CHECK(co_await stream.intervention->resync(table));
    } else if (!arguments.resume.empty()) {
        QIAO_CO_TRY(const auto table, one_table(arguments.resume));
        QIAO_CO_TRY(exit_status, co_await resume(stream, table, console, stop));
    }
    QIAO_CO_CHECK(co_await show(stream, arguments, console));
    co_return exit_status;
}

int run(const Arguments& arguments, Console& console) {
    console.json = arguments.json;
    if (const auto wrong = arguments.stream.usage_error(); !wrong.empty()) {
        console.fail(Error(ErrorCode::Config, wrong));
        return kExitUsage;
    }
    const auto work = [&](TargetStream& stream, StopSignal& stop) {
        return act(stream, arguments, console, stop);
    };
    return run_at_target(arguments.stream, console, work);
}

}  // namespace

void add_tables_command(Program program) {
    const auto& console = program.console;
    const auto say = [&console](Text text) { return std::string(console.pick(text)); };
    auto* command = program.app.add_subcommand(
        "tables",
        say(
            {"Show the state of a stream's tables at the target; pause, resume or resync one",
             "显示流中各表在目标端的状态;暂停、恢复或重新同步其中一个"}
        )
    );
    const auto arguments = std::make_shared<Arguments>();
    arguments->stream.add_to(*command, console);
    auto* pause = command->add_option(
        "--pause",
        arguments->pause,
        say({"lay the changes of S.T aside, in order", "按顺序搁置 S.T 的变更"})
    );
    auto* resume = command->add_option(
        "--resume",
        arguments->resume,
        say({"bring what was laid aside of S.T and go on", "补上 S.T 被搁置的变更并继续"})
    );
    auto* resync = command->add_option(
        "--resync",
        arguments->resync,
        say({"load S.T anew, at once if its flow runs", "重新装载 S.T;数据流正在运行时立即进行"})
    );
    pause->excludes(resume)->excludes(resync);
    resume->excludes(resync);
    command->add_flag(
        "--json", arguments->json, say({"one object on stdout", "在标准输出给出一个 JSON 对象"})
    );
    command->callback([arguments, &console = program.console, &status = program.exit_status] {
        status = run(*arguments, console);
    });
}

}  // namespace qiao::cli
