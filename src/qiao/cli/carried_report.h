#pragma once

#include "qiao/agent/carried_export.h"
#include "qiao/agent/carried_import.h"
#include "qiao/cli/command.h"

#include <string>

namespace qiao::cli {

/// What goes on from a carried load, for the report's last lines.
struct CarriedNext {
    std::string folder;
    std::string follow;      ///< the command that follows
    std::string drop;        ///< the command that gives it up
    bool may_begin = false;  ///< the flow would load by itself: `load: carried` is missing
};

/// For people: what was exported, and what stays at the source meanwhile.
void tell(
    const agent::CarriedExportReport& report, const CarriedNext& next, const Console& console
);
void tell(
    const agent::CarriedImportReport& report, const CarriedNext& next, const Console& console
);

/// The object of --json.
std::string to_json(const agent::CarriedExportReport& report, const CarriedNext& next);
std::string to_json(const agent::CarriedImportReport& report, const CarriedNext& next);

}  // namespace qiao::cli
