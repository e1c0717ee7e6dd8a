#pragma once

#include "qiao/common/error.h"

#include <CLI/CLI.hpp>

#include <functional>
#include <string>
#include <string_view>

namespace qiao::cli {

/// A sentence in both languages of the program.
struct Text {
    std::string_view en;
    std::string_view zh;
};

/// What every command knows: the user's language, and whether stdout is for machines.
class Console {
public:
    /// Chinese when LC_ALL, LC_MESSAGES or LANG (the first that is set) begins with `zh`.
    Console();

    Language language() const { return language_; }

    std::string_view pick(Text text) const {
        return language_ == Language::Chinese ? text.zh : text.en;
    }

    /// With --json stdout has one object and nothing else; everything for people goes to stderr.
    bool json = false;

    /// A line for people: stdout, or stderr with --json.
    void say(std::string_view line) const;
    void warn(std::string_view line) const;
    /// Code, cause and next step on stderr; with --json also `{"error": …}` on stdout.
    void fail(const Error& error) const;
    /// The one object of --json.
    void put_json(std::string_view object) const;
    /// Whether people look at progress bars.
    bool on_terminal() const;

private:
    Language language_;
};

/// Exit statuses, the same for all commands; verify has its own meaning of 1 and 2.
constexpr int kExitDone = 0;
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 64;

/// Each command adds itself to the program; its callback sets `exit_status`.
struct Program {
    CLI::App& app;
    Console& console;
    int& exit_status;
};

void add_sync_command(Program program);
void add_agent_command(Program program);
void add_check_command(Program program);
void add_key_command(Program program);
void add_slots_command(Program program);
void add_errors_command(Program program);
void add_status_command(Program program);
void add_tables_command(Program program);
void add_switchover_command(Program program);
void add_verify_command(Program program);
void add_trail_command(Program program);

}  // namespace qiao::cli
