#pragma once

#include "qiao/agent/timed_choice.h"
#include "qiao/cli/command.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace qiao::cli {

/// The options of `--mode timestamp`. Spec: H-28, H-29, H-30, H-31
class TimestampArguments {
public:
    /// The object outlives the parsing.
    void add_to(CLI::App& command, const Console& console);

    /// What is missing or too much, in the user's words; empty: nothing.
    std::string usage_error(bool drop) const;

    bool chosen() const { return mode_ == "timestamp"; }

    /// None unless chosen.
    std::optional<agent::TimedChoice> choice() const;

private:
    std::string mode_ = "log", column_, valid_, zone_;
    std::vector<std::string> key_, deleted_;
    uint64_t overlap_ = 600, every_ = 10;  ///< seconds
    bool read_again_ = false;
};

}  // namespace qiao::cli
