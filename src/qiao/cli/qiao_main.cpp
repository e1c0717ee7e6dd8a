#include "qiao/cli/command.h"
#include "qiao/cli/out_of_memory.h"
#include "qiao/cli/process_title.h"

#include <algorithm>
#include <utility>

int main(int argc, char** argv) {
    using namespace qiao::cli;
    auto words = take_words(argc, argv);
    // The parser wants them last first, without the program's name.
    std::ranges::reverse(words);
    words.pop_back();
    Console console;
    end_when_out_of_memory(console.language());
    CLI::App app{std::string(console.pick(
        {"Qiao (bridge): carries tables between databases and proves that both ends are equal.",
         "桥:在数据库之间搬运表,并证明两端完全一致。"}
    ))};
    app.name("qiao");
    app.require_subcommand(1);
    app.set_version_flag("--version", QIAO_VERSION);
    int exit_status = kExitDone;
    add_sync_command({app, console, exit_status});
    add_verify_command({app, console, exit_status});
    add_switchover_command({app, console, exit_status});
    add_agent_command({app, console, exit_status});
    add_status_command({app, console, exit_status});
    add_errors_command({app, console, exit_status});
    add_tables_command({app, console, exit_status});
    add_check_command({app, console, exit_status});
    add_slots_command({app, console, exit_status});
    add_trail_command({app, console, exit_status});
    add_key_command({app, console, exit_status});
    try {
        app.parse(std::move(words));
    } catch (const CLI::ParseError& failure) {
        const int code = app.exit(failure);
        return code == 0 ? kExitDone : kExitUsage;
    }
    return exit_status;
}
