#include "qiao/agent/verify_part.h"
#include "qiao/agent/verify_run.h"
#include "qiao/cli/agent_socket.h"
#include "qiao/cli/agent_verification.h"
#include "qiao/cli/command.h"
#include "qiao/cli/state_folder.h"
#include "qiao/cli/table_argument.h"
#include "qiao/cli/timestamp_arguments.h"
#include "qiao/cli/verify_progress.h"
#include "qiao/common/posix_storage.h"

#include <fmt/format.h>

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qiao::cli {
namespace {

/// Exit status when it cannot be told whether both ends are equal; 0 is equal, 1 different.
constexpr int kExitUnknown = 2;

struct Arguments {
    std::string from, to, state, suite = "gm";
    AgentFlow agent;
    std::vector<std::string> tables;
    std::string level = "field";
    bool repair = false, reopen = false, withhold_keys = false, skip_generated = false,
         json = false;
    uint64_t rows_per_second = 0;
    std::optional<std::string> sample, range, recent;
    std::optional<uint32_t> sample_seed;
    verify::Part part;  ///< of the four
    TimestampArguments timestamp;
};

agent::ComparisonOptions comparison_options(const Arguments& arguments) {
    agent::ComparisonOptions options;
    options.verify.level = arguments.level == "table" ? verify::Level::Table : verify::Level::Field;
    options.verify.withhold_keys = arguments.withhold_keys;
    options.verify.skip_generated = arguments.skip_generated;
    options.rows_per_second = arguments.rows_per_second;
    options.repair = arguments.repair;
    options.part = arguments.part;
    return options;
}

Task<Result<drivers::DataSourceUrl>> read_url(std::string text, Storage& storage) {
    QIAO_CO_TRY(auto url, drivers::DataSourceUrl::parse(text));
    co_return co_await drivers::resolve_password(std::move(url), storage);
}

/// Both databases are read by this process.
Task<Result<int>> verify_here(
    EventLoop& loop, Storage& storage, const Arguments& arguments, const Console& console
) {
    agent::VerifyRunOptions options;
    QIAO_CO_TRY(options.sync.from, co_await read_url(arguments.from, storage));
    QIAO_CO_TRY(options.sync.to, co_await read_url(arguments.to, storage));
    for (const auto& table : arguments.tables) {
        QIAO_CO_CHECK(read_table(table, options.sync));
    }
    options.sync.suite = arguments.suite;
    options.sync.reopen = arguments.reopen;
    options.sync.timed = arguments.timestamp.choice();
    QIAO_CO_TRY(const auto stream, agent::sync_stream(options.sync));
    options.sync.state = arguments.state.empty() ? default_state_folder(stream) : arguments.state;
    options.comparison = comparison_options(arguments);
    agent::VerifyRun run(loop, storage, system_rng(), std::move(options));
    const auto on_signal = [&run](int) { run.stop(); };
    loop.on_signals({SIGINT, SIGTERM, SIGHUP}, on_signal);
    VerifyProgress progress(loop, console);
    const auto look = [&run]() -> std::optional<agent::ComparisonProgress> {
        const auto* comparison = run.comparison();
        return comparison == nullptr ? std::nullopt : std::optional(comparison->progress());
    };
    progress.start(look);
    const auto report = co_await run.run();
    co_await progress.finish();
    QIAO_CO_CHECK(report);
    if (arguments.json) {
        console.put_json(agent::to_json(*report));
    } else {
        console.say(agent::render(*report, console.language()));
    }
    co_return report->report.exit_code();
}

/// The source's agent compares, and asks the target's over the link: each reads its own database.
Task<Result<int>> verify_by_agent(
    EventLoop& loop, Storage& storage, const Arguments& arguments, const Console& console
) {
    QIAO_CO_TRY(
        const auto socket,
        co_await find_socket(storage, arguments.agent.socket, arguments.agent.config)
    );
    const nlohmann::ordered_json request{
        {"flow", arguments.agent.flow},
        {"tables", arguments.tables},
        {"level", arguments.level},
        {"repair", arguments.repair},
        {"reopen", arguments.reopen},
        {"withhold_keys", arguments.withhold_keys},
        {"skip_generated", arguments.skip_generated},
        {"rows_per_second", arguments.rows_per_second},
        {"part", agent::to_json(arguments.part)}
    };
    QIAO_CO_TRY(const auto answer, co_await watch_verification(loop, console, socket, request));
    if (arguments.json) {
        console.put_json(answer["report"].dump());
    } else {
        const auto* text = console.language() == Language::Chinese ? "text_zh" : "text_en";
        console.say(answer.value(text, ""));
    }
    co_return answer.value("exit_code", kExitUnknown);
}

int run(const Arguments& arguments, Console& console) {
    console.json = arguments.json;
    EventLoop loop;
    const auto storage = make_posix_storage(loop);
    auto task = arguments.agent.flow.empty() ? verify_here(loop, *storage, arguments, console)
                                             : verify_by_agent(loop, *storage, arguments, console);
    const auto done = loop.run(std::move(task));
    if (done) {
        return *done;
    }
    console.fail(done.error());
    return done.error().info().error_class == ErrorClass::Usage ? kExitUsage : kExitUnknown;
}

/// Which rows are meant, from the options' texts.
Status read_part(Arguments& arguments) {
    auto& part = arguments.part;
    if (arguments.sample) {
        QIAO_TRY(part.share, agent::parse_share(*arguments.sample));
        part.seed = arguments.sample_seed;
    }
    if (arguments.recent) {
        QIAO_TRY(part.range, agent::parse_recent(*arguments.recent));
    }
    if (arguments.range) {
        const auto& tables = arguments.tables;
        if (tables.size() != 1 || tables.front().find('*') != std::string::npos) {
            return Error(ErrorCode::Config, "--range wants one table, named by --table");
        }
        QIAO_TRY(part.range, agent::parse_range(*arguments.range));
    }
    return {};
}

void add_part_options(CLI::App& command, Arguments& arguments, const Console& console) {
    const auto say = [&console](Text text) { return std::string(console.pick(text)); };
    auto* sample = command.add_option(
        "--sample",
        arguments.sample,
        say(
            {"compare so many per cent of each table's rows (0.01 … 100), the same at both ends",
             "只比对每张表百分之几的行(0.01 … 100),两端取相同的行"}
        )
    );
    command
        .add_option(
            "--sample-seed",
            arguments.sample_seed,
            say(
                {"the seed of an earlier sample: the same rows again",
                 "此前抽样的种子:再次比对相同的行"}
            )
        )
        ->needs(sample);
    auto* range = command.add_option(
        "--range",
        arguments.range,
        say(
            {"COLUMN=FROM..TO: of one named table, rows from FROM on and before TO; either may be "
             "empty",
             "列=起..止:只比对指定的一张表中自“起”(含)至“止”(不含)的行;其一可为空"}
        )
    );
    command
        .add_option(
            "--recent",
            arguments.recent,
            say(
                {"COLUMN=TIME: rows of the last 30m, 2h or 7d by the source's clock",
                 "列=时长:按源库时钟只比对最近 30m、2h 或 7d 的行"}
            )
        )
        ->excludes(range);
}

}  // namespace

void add_verify_command(Program program) {
    const auto& console = program.console;
    const auto say = [&console](Text text) { return std::string(console.pick(text)); };
    auto* command = program.app.add_subcommand(
        "verify",
        say(
            {"Prove that both ends are equal, or name what differs; exit 0 equal, 1 different, 2 "
             "cannot tell",
             "证明两端一致,或指出差异;退出码 0 一致,1 有差异,2 无法判定"}
        )
    );
    const auto arguments = std::make_shared<Arguments>();
    auto* from = command->add_option("--from", arguments->from, say({"source URL", "源库 URL"}));
    auto* to = command->add_option("--to", arguments->to, say({"target URL", "目标库 URL"}));
    from->needs(to);
    to->needs(from);
    arguments->agent.add_to(*command, console)->excludes(from);
    command->add_option(
        "--table",
        arguments->tables,
        say(
            {"S.T, S.T=S2.T2, S.* or * (the default); may be given more than once",
             "S.T、S.T=S2.T2、S.* 或 *(默认);可多次给出"}
        )
    );
    command
        ->add_option(
            "--level",
            arguments->level,
            say(
                {"table: row counts; field: every field (the default)",
                 "table:比对行数;field:逐字段比对(默认)"}
            )
        )
        ->check(CLI::IsMember({"table", "field"}));
    auto* repair = command->add_flag(
        "--repair",
        arguments->repair,
        say(
            {"send what differs again, at its place in the stream, and compare once more",
             "将差异行按其在流中的位置重新发送,并再次比对"}
        )
    );
    command
        ->add_flag(
            "--reopen",
            arguments->reopen,
            say(
                {"where the stream cannot go on (slot lost, source or target restored, fail-over): "
                 "a new epoch first",
                 "流无法继续时(复制槽丢失、源端或目标端被恢复、主备切换):先开启新纪元"}
            )
        )
        ->needs(repair);
    command->add_flag(
        "--withhold-keys",
        arguments->withhold_keys,
        say({"neither send nor show the keys of rows", "不发送也不显示行的主键"})
    );
    command->add_flag(
        "--skip-generated",
        arguments->skip_generated,
        say({"leave generated columns out", "不比对生成列"})
    );
    command->add_option(
        "--rows-per-second",
        arguments->rows_per_second,
        say({"load brake of each database", "对每个数据库的读取限速(行/秒)"})
    );
    add_part_options(*command, *arguments, console);
    command->add_option("--state", arguments->state, say({"state folder", "状态目录"}))
        ->needs(from);
    command->add_option("--suite", arguments->suite, say({"gm or intl", "gm 或 intl"}))
        ->check(CLI::IsMember({"gm", "intl"}));
    arguments->timestamp.add_to(*command, console);
    command->add_flag(
        "--json", arguments->json, say({"one object on stdout", "在标准输出给出一个 JSON 对象"})
    );
    command->callback([arguments, &console = program.console, &status = program.exit_status] {
        if (arguments->tables.empty()) {
            arguments->tables = {"*"};
        }
        if (const auto wrong = arguments->timestamp.usage_error(false); !wrong.empty()) {
            console.fail(Error(ErrorCode::Config, wrong));
            status = kExitUsage;
            return;
        }
        if (arguments->from.empty() && arguments->agent.flow.empty()) {
            console.fail(Error(ErrorCode::Config, "--from and --to, or --flow"));
            status = kExitUsage;
            return;
        }
        if (const auto part = read_part(*arguments); !part) {
            console.fail(part.error());
            status = kExitUsage;
            return;
        }
        status = run(*arguments, console);
    });
}

}  // namespace qiao::cli
