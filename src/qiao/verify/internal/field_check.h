#pragma once

#include "qiao/verify/internal/recheck.h"

#include <deque>

namespace qiao::verify::internal {

/// Field level of one table: sums of buckets on both sides, finer sums of those that differ, the
/// digests of their rows, and a recheck of the rows that differ. Spec: R-35
class FieldCheck {
public:
    FieldCheck(
        Verifier::Parts& parts, const VerifyOptions& options, const Plan& plan, TableReport& report
    )
        : parts_(parts), options_(options), plan_(plan), report_(report) {}

    Task<Status> run(StopSignal& stop);

    /// Everything that was confirmed, up to the option's bound.
    std::vector<Candidate> take_confirmed() { return std::move(confirmed_); }

private:
    /// A bucket that differs and the rows that either side has in it.
    struct Unequal {
        uint64_t id = 0;
        uint64_t rows = 0;
    };

    using Group = std::vector<Unequal>;

    Task<Status> sum(uint8_t bits, uint8_t within_bits, StopSignal& stop);
    Task<Status> refine(StopSignal& stop);
    Task<Status> examine(StopSignal& stop);
    Task<Status> examine_group(Group group, StopSignal& stop);
    Task<Result<std::vector<Candidate>>> fetch_keys(
        std::vector<Candidate> candidates, StopSignal& stop
    );
    Task<Status> fetch_keys(Side& side, std::vector<Candidate*> rows, StopSignal& stop);
    void keep(std::vector<Candidate> candidates);
    std::deque<Group> groups() const;

    std::pair<Side&, Side&> sides() { return {parts_.source, parts_.target}; }

    Verifier::Parts& parts_;
    const VerifyOptions& options_;
    const Plan& plan_;
    TableReport& report_;

    uint8_t bits_ = 0;
    std::vector<Unequal> unequal_;
    std::deque<Group> waiting_;
    std::vector<Candidate> confirmed_;
};

}  // namespace qiao::verify::internal
