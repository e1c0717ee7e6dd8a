#pragma once

#include "qiao/verify/verifier.h"

#include <span>

namespace qiao::verify::internal {

/// A row that was seen to differ once.
struct Candidate {
    enum class State : uint8_t { Open, Settled, Confirmed };

    RowDigest digest;
    Bytes key;  ///< empty: found by reading the whole table
    State state = State::Open;
    Seen source, target;   ///< as last seen
    double agreement = 0;  ///< looks in a row that saw the same difference
};

/// Waits until the target has what the source has now. Doubt::NotApplied when it does not.
Task<Status> catch_up(
    Verifier::Parts& parts,
    const VerifyOptions& options,
    model::SourcePosition& position,
    StopSignal& stop
);

/// Looks at candidates again until each is settled, confirmed, or has been looked at often enough.
///
/// A look: read the row at the source; take the source's position, which lies behind what was read;
/// wait until the target has applied it; read the row at the target; read it at the source again.
/// - Target equals the second reading of the source: settled.
/// - Source the same twice, target different: the look agrees. A source that changed and changed
///   back in between, a target that is ahead of what a snapshot of the source can see: both look
///   like this too, so that one look confirms nothing. Several in a row do, with the same two
///   images, at random distances.
/// - Anything else: the row moved; it is looked at again.
/// C17, rules 27, design 3.10.
class Recheck {
public:
    Recheck(Verifier::Parts& parts, const VerifyOptions& options, const Plan& plan)
        : parts_(parts), options_(options), plan_(plan) {}

    /// Candidates still open afterwards kept moving.
    Task<Status> run(std::vector<Candidate>& candidates, StopSignal& stop);

private:
    using Page = std::span<Candidate*>;

    Task<Status> look(Page page, StopSignal& stop);
    Task<Result<std::vector<Seen>>> read(
        Side& side, const TableSpec& spec, Page page, StopSignal& stop
    );
    size_t page_end(const std::vector<Candidate*>& open, size_t begin) const;
    void judge(Candidate& candidate, Seen source, Seen target, double weight) const;

    Verifier::Parts& parts_;
    const VerifyOptions& options_;
    const Plan& plan_;
};

}  // namespace qiao::verify::internal
