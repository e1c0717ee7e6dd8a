#include "qiao/cli/out_of_memory.h"

#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>

namespace qiao::cli {
namespace {

/// Made beforehand: when they are wanted, nothing can be made any more.
std::string& last_words() {
    static std::string words;
    return words;
}

[[noreturn]] void end() {
    // Unbuffered, so that nothing is allocated for it.
    (void)std::fputs(last_words().c_str(), stderr);
    std::_Exit(kExitOutOfMemory);
}

}  // namespace

void end_when_out_of_memory(Language language) {
    last_words() = Error(ErrorCode::OutOfMemory).explain(language);
    std::set_new_handler(end);
}

}  // namespace qiao::cli
