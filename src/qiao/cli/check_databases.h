#pragma once

#include "qiao/agent/timed_choice.h"
#include "qiao/cli/check_report.h"
#include "qiao/common/async/event_loop.h"
#include "qiao/common/storage.h"
#include "qiao/drivers/url.h"

#include <optional>
#include <string>
#include <vector>

namespace qiao::cli {

struct DatabaseCheck {
    std::optional<drivers::DataSourceUrl> from, to;
    std::vector<std::string> tables;  ///< patterns, `S.T=S2.T2` for another name at the target
    std::optional<agent::TimedChoice> timed;  ///< capture by time of change, of one table or view
    std::string state;                        ///< folder; empty: that of `qiao sync`
};

/// Source: grants, log settings, slots, identities. Target: connection, grants, version, encoding,
/// clock. Both: structures that fit, disk of the state folder. By time of change: whether the rows
/// keep what is declared of them, which reads them all. Changes nothing.
/// Spec, H-29, H-30, H-31
Task<void> check_databases(
    EventLoop& loop, Storage& storage, DatabaseCheck check, CheckReport& report
);

}  // namespace qiao::cli
