#pragma once

#include "qiao/cli/command.h"

#include <string>
#include <vector>

namespace qiao::cli {

/// What the other options of `qiao sync` say, as far as a carried load has to do with them.
struct SyncWords {
    std::string from, to, state, suite;
    std::vector<std::string> tables, columns, where;
    size_t readers = 2;
    bool create = false;
    bool suite_given = false;
    bool moves = false;  ///< --follow, --once, --drop or --mode timestamp
    bool json = false;
    std::string version;  ///< of the program
};

/// The options of `qiao sync --export` and `--import`.
/// Spec: R-11
struct CarriedArguments {
    std::string export_to, import_from;  ///< folders
    std::string config, flow;            ///< an agent's flow instead of --from and --to
    std::string recipient;               ///< file with the public wrapping key
    std::string wrapping_key;            ///< file with the private one
    std::string digest;                  ///< that the manifest must have

    /// The object outlives the parsing.
    void add_to(CLI::App& command, const Console& console);

    bool chosen() const { return !export_to.empty() || !import_from.empty(); }

    /// What is missing or too much, in the user's words; empty: nothing.
    std::string usage_error(const SyncWords& words) const;
};

/// Exports or imports. Gives the program's exit status.
int run_carried(const CarriedArguments& arguments, const SyncWords& words, Console& console);

}  // namespace qiao::cli
