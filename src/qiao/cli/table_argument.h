#pragma once

#include "qiao/agent/sync_run.h"

#include <string>

namespace qiao::cli {

/// Adds one `--table` to what is synced: a pattern, or `S.T=S2.T2` for another name at the target.
/// Errors: common.config for a pattern that names several tables, or two tables of one name.
/// Spec: R-25
Status read_table(const std::string& text, agent::SyncOptions& options);

/// `--columns S.T=a,b` and `--where "S.T=a > 1"`; see agent::merge_selection().
/// Errors: common.config.
Result<model::Selection> read_selection(
    const std::vector<std::string>& columns, const std::vector<std::string>& conditions
);

}  // namespace qiao::cli
