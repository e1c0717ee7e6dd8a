#pragma once

#include "qiao/agent/sync_run.h"
#include "qiao/cli/command.h"

#include <string>

namespace qiao::cli {

/// What a run was asked, as its report repeats it; the passwords of URLs are not in it.
struct SyncEnds {
    std::string from, to;
    bool follow = false;
};

/// A finding on one line, with what mends it.
std::string describe_finding(const drivers::Finding& finding, const Console& console);

/// For people: what a run did, what it did not bring, and what it leaves at the source.
void tell(const agent::SyncReport& report, const SyncEnds& ends, const Console& console);

/// The object of --json.
std::string to_json(const agent::SyncReport& report);

}  // namespace qiao::cli
