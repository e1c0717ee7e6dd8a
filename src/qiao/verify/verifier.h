#pragma once

#include "qiao/common/async/executor.h"
#include "qiao/common/clock.h"
#include "qiao/common/rng.h"
#include "qiao/verify/options.h"

namespace qiao::verify {

/// Compares tables of two databases, online. A row is called different only when later looks, each
/// after the target has applied what the source had, agree; nothing is called equal that was not
/// seen to be. docs/adr/0012-verification.md. Spec: R-35, C17. Source: rules 27, design 3.10
class Verifier {
public:
    struct Parts {
        Executor& executor;
        Clock& clock;
        Rng& rng;
        Side& source;
        Side& target;
        Flow flow;
    };

    Verifier(Parts parts, VerifyOptions options)
        : parts_(std::move(parts)), options_(std::move(options)) {}

    /// Compares one pair, or the part of it that the pair names. Whatever goes wrong stands in the
    /// report, which then cannot tell. The report's part is settled: compared again, it is the same
    /// rows. Spec: R-36
    Task<TableOutcome> verify(TablePair pair, StopSignal& stop);

    /// Compares all pairs, one after the other. Stops early when stop is requested.
    struct Outcome {
        VerifyReport report;
        std::vector<RepairList> repairs;  ///< in the order of the report's tables
    };

    Task<Outcome> verify_all(std::vector<TablePair> pairs, StopSignal& stop);

private:
    Task<Status> compare(TablePair pair, TableOutcome& outcome, StopSignal& stop);
    Task<Status> make_plan(TablePair pair, TableOutcome& outcome, StopSignal& stop);
    Task<Status> settle_part(TableOutcome& outcome, StopSignal& stop);
    Task<Status> count_rows(const Plan& plan, TableReport& report, StopSignal& stop);
    Task<Status> compare_fields(TableOutcome& outcome, StopSignal& stop);

    Parts parts_;
    VerifyOptions options_;
};

}  // namespace qiao::verify
