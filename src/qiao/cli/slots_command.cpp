#include "qiao/capture/postgres/slot.h"
#include "qiao/capture/postgres/source_setup.h"
#include "qiao/cli/command.h"
#include "qiao/common/async/event_loop.h"
#include "qiao/common/posix_storage.h"
#include "qiao/drivers/url.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <memory>

namespace qiao::cli {
namespace {

namespace pg = capture::postgres;

struct Arguments {
    std::string from, drop;
    bool json = false;
};

nlohmann::json to_json(const pg::SlotInfo& slot) {
    nlohmann::json one{
        {"name", slot.name},
        {"database", slot.database},
        {"temporary", slot.temporary},
        {"active_pid", nullptr},
        {"confirmed", pg::format_lsn(slot.confirmed)},
        {"restart", pg::format_lsn(slot.restart)},
        {"wal_status", slot.wal_status},
        {"bytes_held", slot.bytes_held},
        {"safe_bytes", nullptr},
        {"invalid", slot.invalid}
    };
    if (slot.active_pid) {
        one["active_pid"] = *slot.active_pid;
    }
    if (slot.safe_bytes) {
        one["safe_bytes"] = *slot.safe_bytes;
    }
    return one;
}

void show(const std::vector<pg::SlotInfo>& slots, const Console& console) {
    if (slots.empty()) {
        console.say(console.pick({"no slot of Qiao on this server", "该服务器上没有 Qiao 的复制槽"})
        );
    }
    for (const auto& slot : slots) {
        console.say(fmt::format(
            fmt::runtime(console.pick(
                {"{} (database {}): {}, confirmed {}, holds {} bytes of log, {}{}",
                 "{}(库 {}):{},已确认 {},占用日志 {} 字节,{}{}"}
            )),
            slot.name,
            slot.database,
            slot.wal_status,
            pg::format_lsn(slot.confirmed),
            slot.bytes_held,
            slot.active_pid ? fmt::format(
                                  fmt::runtime(console.pick({"in use by {}", "被进程 {} 使用"})),
                                  *slot.active_pid
                              )
                            : std::string(console.pick({"not in use", "未使用"})),
            slot.invalid.empty() ? "" : " ! " + slot.invalid
        ));
    }
}

Task<Status> run(
    EventLoop& loop, Storage& storage, const Arguments& arguments, const Console& console
) {
    QIAO_CO_TRY(auto parsed, drivers::DataSourceUrl::parse(arguments.from));
    QIAO_CO_TRY(auto url, co_await drivers::resolve_password(std::move(parsed), storage));
    StopSignal stop;
    QIAO_CO_TRY(
        const auto connection,
        co_await pg::connect_catalogue({loop, loop, loop}, std::move(url), stop)
    );
    if (!arguments.drop.empty()) {
        if (!pg::is_own_name(arguments.drop)) {
            co_return Error(
                ErrorCode::Config, fmt::format("`{}` is not a slot of Qiao", arguments.drop)
            );
        }
        QIAO_CO_CHECK(co_await pg::drop_slot(*connection, arguments.drop));
        console.say(
            fmt::format(fmt::runtime(console.pick({"dropped {}", "已删除 {}"})), arguments.drop)
        );
    }
    QIAO_CO_TRY(const auto slots, co_await pg::list_slots(*connection));
    if (!arguments.json) {
        show(slots, console);
        co_return Status{};
    }
    auto all = nlohmann::json::array();
    for (const auto& slot : slots) {
        all.push_back(to_json(slot));
    }
    console.put_json(nlohmann::json{{"slots", std::move(all)}}.dump());
    co_return Status{};
}

}  // namespace

void add_slots_command(Program program) {
    const auto& console = program.console;
    const auto say = [&console](Text text) { return std::string(console.pick(text)); };
    auto* command = program.app.add_subcommand(
        "slots",
        say(
            {"List Qiao's replication slots of a server and drop one",
             "列出服务器上 Qiao 的复制槽,或删除其中一个"}
        )
    );
    const auto arguments = std::make_shared<Arguments>();
    command->add_option("--from", arguments->from, say({"URL of the source", "源库 URL"}))
        ->required();
    command->add_option("--drop", arguments->drop, say({"name of a slot", "复制槽名称"}));
    command->add_flag(
        "--json", arguments->json, say({"one object on stdout", "在标准输出给出一个 JSON 对象"})
    );
    command->callback([arguments, &console = program.console, &status = program.exit_status] {
        console.json = arguments->json;
        EventLoop loop;
        const auto storage = make_posix_storage(loop);
        const auto done = loop.run(run(loop, *storage, *arguments, console));
        if (!done) {
            console.fail(done.error());
            status = kExitFailed;
        }
    });
}

}  // namespace qiao::cli
