#include "qiao/agent/config.h"
#include "qiao/agent/identity.h"
#include "qiao/agent/sync_run.h"
#include "qiao/cli/carried_arguments.h"
#include "qiao/cli/carried_report.h"
#include "qiao/cli/load_progress.h"
#include "qiao/cli/state_folder.h"
#include "qiao/cli/table_argument.h"
#include "qiao/common/posix_storage.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <memory>

namespace qiao::cli {
namespace {

constexpr size_t kPemBytesMost = size_t{1} << 20U;

/// An agent's flow with its configuration.
struct AgentFlow {
    agent::AgentConfig config;
    agent::FlowConfig flow;
};

Task<Result<AgentFlow>> find_flow(
    Storage& storage, std::string path, std::string name, agent::FlowRole role
) {
    QIAO_CO_TRY(auto config, co_await agent::load_config(storage, path));
    const auto found = std::ranges::find(config.flows, name, &agent::FlowConfig::name);
    if (found == config.flows.end() || found->role != role) {
        const auto* end = role == agent::FlowRole::Source ? "begins" : "ends";
        co_return Error(
            ErrorCode::AgentNoFlow, fmt::format("{}: no flow `{}` {} here", path, name, end)
        );
    }
    auto flow = *found;
    co_return AgentFlow{std::move(config), std::move(flow)};
}

Task<Result<std::shared_ptr<const crypto::PublicKey>>> read_public(
    Storage& storage, std::string path
) {
    QIAO_CO_TRY(const auto pem, co_await read_file(storage, path, kPemBytesMost));
    auto key = crypto::PublicKey::from_pem(as_text(pem));
    if (!key) {
        co_return key.error().within(path);
    }
    co_return key;
}

struct Ends {
    drivers::DataSourceUrl from, to;
    StreamId stream;
};

/// Of the end that is not reached only the place counts.
Result<Ends> ends_of(const SyncWords& words) {
    Ends ends;
    QIAO_TRY(ends.from, drivers::DataSourceUrl::parse(words.from));
    QIAO_TRY(ends.to, drivers::DataSourceUrl::parse(words.to));
    ends.stream = agent::sync_stream(ends.from, ends.to);
    return ends;
}

Task<Result<agent::CarriedExportOptions>> export_options(
    Storage& storage, const CarriedArguments& arguments, const SyncWords& words, CarriedNext& next
) {
    agent::CarriedExportOptions options;
    options.folder = next.folder;
    options.tool_version = words.version;
    if (!arguments.flow.empty()) {
        QIAO_CO_TRY(
            const auto found,
            co_await find_flow(storage, arguments.config, arguments.flow, agent::FlowRole::Source)
        );
        const auto& flow = found.flow;
        if (flow.timed) {
            co_return Error(ErrorCode::Config, "a flow by timestamp has no log to follow");
        }
        options.from = flow.database;
        options.stream = agent::flow_stream(found.config, flow);
        options.node = found.config.node;
        options.tables = flow.tables;
        options.names = flow.names;
        options.selection = flow.selection;
        options.value_bytes_max = flow.value_bytes_max;
        options.suite = flow.suite;
        options.load.readers = flow.readers;
        QIAO_CO_TRY(options.receiver, co_await read_public(storage, flow.receiver_key));
        next.follow = fmt::format("qiao agent --config {}", arguments.config);
        next.drop = fmt::format("qiao slots --from {} --drop SLOT", flow.database.display());
        next.may_begin = !flow.carried;
        co_return options;
    }
    QIAO_CO_TRY(const auto ends, ends_of(words));
    QIAO_CO_TRY(options.from, co_await drivers::resolve_password(ends.from, storage));
    options.stream = ends.stream;
    agent::SyncOptions chosen;
    for (const auto& table : words.tables) {
        QIAO_CO_CHECK(read_table(table, chosen));
    }
    QIAO_CO_TRY(options.selection, read_selection(words.columns, words.where));
    options.tables = std::move(chosen.tables);
    options.names = std::move(chosen.names);
    options.suite = words.suite;
    options.load.readers = words.readers;
    options.state = words.state.empty() ? default_state_folder(ends.stream) : words.state;
    QIAO_CO_TRY(options.receiver, co_await read_public(storage, arguments.recipient));
    const auto places = fmt::format("--from {} --to {}", ends.from.display(), ends.to.display());
    next.follow = fmt::format("qiao sync {} --table … --follow", places);
    next.drop = fmt::format("qiao sync --drop {}", places);
    co_return options;
}

Task<Result<agent::CarriedImportOptions>> import_options(
    Storage& storage, const CarriedArguments& arguments, const SyncWords& words, CarriedNext& next
) {
    agent::CarriedImportOptions options;
    options.folder = next.folder;
    options.digest = arguments.digest;
    options.create = words.create;
    options.load.readers = words.readers;
    std::vector<std::string> keys{arguments.wrapping_key};
    if (!arguments.flow.empty()) {
        QIAO_CO_TRY(
            const auto found,
            co_await find_flow(storage, arguments.config, arguments.flow, agent::FlowRole::Target)
        );
        options.to = found.flow.database;
        options.stream = agent::flow_stream(found.config, found.flow);
        options.state = found.config.state;
        options.names = found.flow.names;
        options.source = found.flow.peer;
        keys = found.config.wrapping_keys;
        next.follow = fmt::format("qiao agent --config {}", arguments.config);
    } else {
        QIAO_CO_TRY(const auto ends, ends_of(words));
        QIAO_CO_TRY(options.to, co_await drivers::resolve_password(ends.to, storage));
        options.stream = ends.stream;
        options.source = agent::database_tag(ends.from);
        options.state = words.state.empty() ? default_state_folder(ends.stream) : words.state;
        next.follow = fmt::format(
            "qiao sync --from {} --to {} --table … --follow", ends.from.display(), ends.to.display()
        );
    }
    QIAO_CO_TRY(options.keys, co_await agent::load_wrapping_keys(storage, std::move(keys)));
    co_return options;
}

/// `/media/disk/load/` is the folder `/media/disk/load`.
std::string without_slash(std::string path) {
    while (path.size() > 1 && path.ends_with('/')) {
        path.pop_back();
    }
    return path;
}

LoadMoment moment_of(const engine::LoadStatus* load, std::string_view phase) {
    LoadMoment moment{std::string(phase)};
    if (load != nullptr) {
        moment.rows = load->rows;
        moment.rows_all = load->rows_estimated;
        moment.bytes = load->bytes;
        moment.bytes_all = load->bytes_estimated;
    }
    return moment;
}

Text name_of(agent::CarriedImport::Phase phase) {
    using Phase = agent::CarriedImport::Phase;
    switch (phase) {
        case Phase::Opening:
            return {"opening", "打开目录"};
        case Phase::Checking:
            return {"checking the files", "校验文件"};
        case Phase::Creating:
            return {"creating", "建表中"};
        case Phase::Loading:
            return {"loading", "装载中"};
        case Phase::Indexing:
            return {"building keys and indexes", "建立索引与约束"};
        case Phase::Counting:
            break;
    }
    return {"counting", "清点行数"};
}

LoadMoment moment_of(const agent::CarriedImport& import, const Console& console) {
    using Phase = agent::CarriedImport::Phase;
    const auto phase = console.pick(name_of(import.phase()));
    if (import.phase() == Phase::Checking) {
        LoadMoment moment{std::string(phase)};
        moment.bytes = import.folder()->checked_bytes();
        moment.bytes_all = import.folder()->manifest().bytes();
        return moment;
    }
    return moment_of(import.phase() == Phase::Loading ? import.status() : nullptr, phase);
}

/// Runs with signals and a progress line; the same for both ways.
template <class Run, class Report>
Task<Result<Report>> watch(
    EventLoop& loop, const Console& console, Run& run, std::function<LoadMoment()> look
) {
    const auto on_signal = [&run](int) { run.stop(); };
    loop.on_signals({SIGINT, SIGTERM, SIGHUP}, on_signal);
    LoadProgress progress(loop, console, std::move(look));
    progress.start();
    auto report = co_await run.run();
    co_await progress.finish();
    co_return report;
}

Task<Result<agent::CarriedExportReport>> export_load(
    EventLoop& loop,
    Storage& storage,
    const CarriedArguments& arguments,
    const SyncWords& words,
    const Console& console,
    CarriedNext& next
) {
    QIAO_CO_TRY(auto options, co_await export_options(storage, arguments, words, next));
    agent::CarriedExport run(loop, storage, system_rng(), std::move(options));
    const auto look = [&run, &console] {
        const bool loads = run.status() != nullptr;
        return moment_of(
            run.status(),
            loads ? console.pick({"exporting", "导出中"})
                  : console.pick({"preparing the source", "准备源端"})
        );
    };
    std::function<LoadMoment()> looking = look;
    co_return co_await watch<agent::CarriedExport, agent::CarriedExportReport>(
        loop, console, run, std::move(looking)
    );
}

Task<Result<agent::CarriedImportReport>> import_load(
    EventLoop& loop,
    Storage& storage,
    const CarriedArguments& arguments,
    const SyncWords& words,
    const Console& console,
    CarriedNext& next
) {
    QIAO_CO_TRY(auto options, co_await import_options(storage, arguments, words, next));
    agent::CarriedImport run(loop, storage, system_rng(), std::move(options));
    const auto look = [&run, &console] { return moment_of(run, console); };
    std::function<LoadMoment()> looking = look;
    co_return co_await watch<agent::CarriedImport, agent::CarriedImportReport>(
        loop, console, run, std::move(looking)
    );
}

template <class Report>
int end(const Result<Report>& report, const CarriedNext& next, const Console& console) {
    if (!report) {
        console.fail(report.error());
        return kExitFailed;
    }
    tell(*report, next, console);
    if (console.json) {
        console.put_json(to_json(*report, next));
    }
    return kExitDone;
}

}  // namespace

int run_carried(const CarriedArguments& arguments, const SyncWords& words, Console& console) {
    console.json = words.json;
    EventLoop loop;
    const auto storage = make_posix_storage(loop);
    CarriedNext next;
    if (!arguments.export_to.empty()) {
        next.folder = without_slash(arguments.export_to);
        return end(
            loop.run(export_load(loop, *storage, arguments, words, console, next)), next, console
        );
    }
    next.folder = without_slash(arguments.import_from);
    return end(
        loop.run(import_load(loop, *storage, arguments, words, console, next)), next, console
    );
}

}  // namespace qiao::cli
