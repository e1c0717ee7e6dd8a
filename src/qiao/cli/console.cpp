#include "qiao/cli/command.h"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <cstdlib>
#include <unistd.h>

namespace qiao::cli {
namespace {

Language language_of_environment() {
    for (const auto* name : {"LC_ALL", "LC_MESSAGES", "LANG"}) {
        const auto* value = std::getenv(name);
        if (value != nullptr && *value != '\0') {
            return std::string_view(value).starts_with("zh") ? Language::Chinese
                                                             : Language::English;
        }
    }
    return Language::English;
}

void write_line(FILE* file, std::string_view line) {
    std::fwrite(line.data(), 1, line.size(), file);
    std::fputc('\n', file);
    std::fflush(file);
}

}  // namespace

Console::Console() : language_(language_of_environment()) {}

void Console::say(std::string_view line) const { write_line(json ? stderr : stdout, line); }

void Console::warn(std::string_view line) const { write_line(stderr, line); }

void Console::fail(const Error& error) const {
    auto text = error.explain(language_);
    text.pop_back();
    write_line(stderr, text);
    if (json) {
        const auto& info = error.info();
        const nlohmann::json object{
            {"error",
             {{"code", info.name},
              {"cause", info.cause(language_)},
              {"detail", error.detail()},
              {"next_step", info.next_step(language_)}}}
        };
        put_json(object.dump());
    }
}

void Console::put_json(std::string_view object) const { write_line(stdout, object); }

bool Console::on_terminal() const { return ::isatty(STDERR_FILENO) == 1; }

}  // namespace qiao::cli
