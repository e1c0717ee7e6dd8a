#pragma once

#include "qiao/cli/command.h"
#include "qiao/drivers/finding.h"

#include <string>
#include <vector>

namespace qiao::cli {

/// Gathers what `qiao check` found, in its parts: source, target, structure, link. Spec: R-28
class CheckReport {
public:
    void add(std::string part, std::vector<drivers::Finding> findings);
    void good(std::string part, std::string subject, Text message);
    void bad(std::string part, std::string subject, Text message, std::string mend);
    void warning(std::string part, std::string subject, Text message, std::string mend);

    /// A part could not be looked at; the others go on.
    void unknown(std::string part, const Error& error);

    /// 0: nothing bad, 1: something is, 2: something could not be looked at.
    int exit_status() const;

    /// Lines for people, or the one object of --json.
    void show(const Console& console) const;

private:
    struct Entry {
        std::string part;
        drivers::Finding finding;
    };

    std::vector<Entry> entries_;
    std::vector<std::pair<std::string, Error>> unknown_;
};

}  // namespace qiao::cli
