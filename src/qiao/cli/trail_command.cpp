#include "qiao/cli/command.h"
#include "qiao/cli/trail_dump.h"
#include "qiao/common/async/event_loop.h"
#include "qiao/common/posix_storage.h"

#include <memory>

namespace qiao::cli {

void add_trail_command(Program program) {
    const auto& console = program.console;
    const auto say = [&console](Text text) { return std::string(console.pick(text)); };
    auto* command = program.app.add_subcommand(
        "trail", say({"Look into a trail or a transfer log", "查看队列缓存或流水日志"})
    );
    command->require_subcommand(1);

    struct Arguments {
        std::string folder;
        bool json = false;
    };

    const auto arguments = std::make_shared<Arguments>();
    using Action = Task<Result<bool>> (*)(Storage&, std::string, const Console&);
    const auto add = [&](const char* name, Text text, Action action) {
        auto* part = command->add_subcommand(name, say(text));
        part->add_option("dir", arguments->folder, say({"its folder", "所在目录"}))->required();
        part->add_flag("--json", arguments->json, say({"one object on stdout", "输出 JSON"}));
        part->callback(
            [arguments, action, &speaker = program.console, &status = program.exit_status] {
                speaker.json = arguments->json;
                EventLoop loop;
                const auto storage = make_posix_storage(loop);
                const auto good = loop.run(action(*storage, arguments->folder, speaker));
                if (!good) {
                    speaker.fail(good.error());
                }
                status = good && *good ? kExitDone : kExitFailed;
            }
        );
    };
    add("dump",
        {"streams, segments and headers of packets, never their bodies",
         "列出流、段文件和数据包头,不含包体"},
        dump_trail);
    add("check", {"read every byte; exit 1 on damage", "逐字节检查;有损坏时退出码为 1"}, check_trail
    );
    add("log", {"the records of a transfer log", "列出流水日志的记录"}, dump_transfer_log);
}

}  // namespace qiao::cli
