#include "qiao/cli/target_stream.h"

#include "qiao/agent/config.h"
#include "qiao/agent/identity.h"
#include "qiao/agent/kept_names.h"
#include "qiao/agent/sync_run.h"
#include "qiao/cli/state_folder.h"
#include "qiao/common/posix_storage.h"
#include "qiao/common/rng.h"
#include "qiao/drivers/postgres/catalogue.h"
#include "qiao/engine/laid_aside.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>

namespace qiao::cli {
namespace {

Task<Result<drivers::DataSourceUrl>> read_url(std::string text, Storage& storage) {
    QIAO_CO_TRY(auto url, drivers::DataSourceUrl::parse(text));
    co_return co_await drivers::resolve_password(std::move(url), storage);
}

Result<StreamId> read_stream(const std::string& text) {
    std::array<std::byte, StreamId::kSize> bytes{};
    bool good = text.size() == 2 * bytes.size();
    for (size_t i = 0; good && i < bytes.size(); ++i) {
        unsigned value = 0;
        const auto* at = text.data() + 2 * i;
        const auto [end, error] = std::from_chars(at, at + 2, value, 16);
        good = error == std::errc() && end == at + 2;
        bytes[i] = static_cast<std::byte>(value);
    }
    if (!good) {
        return Error(ErrorCode::Config, "--stream: 32 hexadecimal digits");
    }
    return StreamId::from(bytes);
}

/// What the two ways of naming a stream find.
struct Found {
    StreamId stream;
    model::Mapping names;
    drivers::DataSourceUrl to;
    std::string source;  ///< see agent::make_target()
    std::vector<std::string> key_paths;
};

Task<Result<Found>> find_sync(Storage& storage, TargetStreamArguments arguments) {
    Found found;
    agent::SyncOptions options;
    QIAO_CO_TRY(options.from, drivers::DataSourceUrl::parse(arguments.from));
    QIAO_CO_TRY(found.to, co_await read_url(arguments.to, storage));
    options.to = found.to;
    found.stream = agent::sync_stream(options.from, options.to);
    if (!arguments.stream.empty()) {
        QIAO_CO_TRY(found.stream, read_stream(arguments.stream));
    }
    const auto folder =
        arguments.state.empty() ? default_state_folder(found.stream) : arguments.state;
    QIAO_CO_TRY(found.names, co_await agent::merge_names(storage, folder, {}));
    found.source = agent::database_tag(options.from);
    found.key_paths = {fmt::format("{}/wrapping-{}.pem", folder, arguments.suite)};
    co_return found;
}

Task<Result<Found>> find_flow(Storage& storage, TargetStreamArguments arguments) {
    QIAO_CO_TRY(const auto config, co_await agent::load_config(storage, arguments.config));
    const auto flow = std::ranges::find(config.flows, arguments.flow, &agent::FlowConfig::name);
    if (flow == config.flows.end() || flow->role != agent::FlowRole::Target) {
        co_return Error(
            ErrorCode::Config,
            fmt::format("no flow `{}` ends in {}", arguments.flow, arguments.config)
        );
    }
    Found found;
    found.stream = agent::flow_stream(config, *flow);
    found.names = flow->names;
    found.to = flow->database;
    found.source = flow->peer;
    found.key_paths = config.wrapping_keys;
    co_return found;
}

}  // namespace

void TargetStreamArguments::add_to(CLI::App& command, const Console& console) {
    const auto say = [&console](Text text) { return std::string(console.pick(text)); };
    auto* source = command.add_option(
        "--from", from, say({"source URL, as `qiao sync` was told", "源库 URL,与 qiao sync 相同"})
    );
    auto* target = command.add_option("--to", to, say({"target URL", "目标库 URL"}));
    source->needs(target);
    target->needs(source);
    command.add_option("--state", state, say({"state folder of the sync", "同步的状态目录"}))
        ->needs(source);
    command.add_option("--suite", suite, say({"gm or intl", "gm 或 intl"}))
        ->check(CLI::IsMember({"gm", "intl"}))
        ->needs(source);
    command
        .add_option(
            "--stream",
            stream,
            say({"stream id, for a sync by timestamp", "流标识,用于按时间戳的同步"})
        )
        ->needs(source);
    auto* file = command.add_option(
        "--config", config, say({"the target agent's configuration", "目标端代理的配置文件"})
    );
    auto* name = command.add_option("--flow", flow, say({"a flow of it", "其中的数据流名"}));
    file->needs(name)->excludes(source);
    name->needs(file);
}

std::string TargetStreamArguments::usage_error() const {
    return from.empty() && config.empty() ? "--from and --to, or --config and --flow, are required"
                                          : "";
}

Task<Result<std::unique_ptr<TargetStream>>> TargetStream::open(
    EventLoop& loop, Storage& storage, TargetStreamArguments arguments
) {
    auto finding =
        arguments.config.empty() ? find_sync(storage, arguments) : find_flow(storage, arguments);
    QIAO_CO_TRY(const auto found, co_await std::move(finding));
    auto opened = std::make_unique<TargetStream>();
    opened->stream = found.stream;
    opened->names = found.names;
    QIAO_CO_TRY(opened->keys, co_await agent::load_wrapping_keys(storage, found.key_paths));
    QIAO_CO_TRY(
        opened->target, agent::make_target({loop, loop, loop}, found.to, opened->stop, found.source)
    );
    opened->intervention =
        std::make_unique<apply::Intervention>(*opened->target.database, loop, found.stream);
    co_return opened;
}

apply::ReplayOptions TargetStream::replay_options() const {
    apply::ReplayOptions options;
    options.stream = stream;
    options.names = names;
    options.open = engine::opening(stream, keys);
    return options;
}

namespace {

Task<Result<int>> open_and_do(
    EventLoop& loop,
    Storage& storage,
    const TargetStreamArguments& arguments,
    const std::function<Task<Result<int>>(TargetStream&, StopSignal&)>& work
) {
    QIAO_CO_TRY(const auto stream, co_await TargetStream::open(loop, storage, arguments));
    StopSignal stop;
    const auto on_signal = [&stop](int) { stop.request(); };
    loop.on_signals({SIGINT, SIGTERM, SIGHUP}, on_signal);
    co_return co_await work(*stream, stop);
}

}  // namespace

int run_at_target(
    const TargetStreamArguments& arguments,
    const Console& console,
    const std::function<Task<Result<int>>(TargetStream&, StopSignal&)>& work
) {
    EventLoop loop;
    const auto storage = make_posix_storage(loop);
    const auto done = loop.run(open_and_do(loop, *storage, arguments, work));
    if (!done) {
        console.fail(done.error());
        return kExitFailed;
    }
    return *done;
}

Result<model::TableName> one_table(const std::string& text) {
    QIAO_TRY(const auto pattern, drivers::postgres::TablePattern::parse(text));
    if (!pattern.schema || !pattern.name) {
        return Error(ErrorCode::Config, "one table is named, not " + text);
    }
    return model::TableName{*pattern.schema, *pattern.name};
}

}  // namespace qiao::cli
