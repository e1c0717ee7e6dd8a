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
Task<Status> catch_up(Verifier::Parts& parts, const VerifyOptions& options, StopSignal& stop);

/// Looks at candidates again until each is settled, confirmed, or has been looked at often enough.
///
/// A look: read the row at the source; take the source's position, which lies behind what was read;
/// wait until the target has applied it; read the row at the target; read it at the source again.
/// - Target equals the second reading of the source: settled.
/// - Source the same twice, target different: the look agrees. One such look confirms nothing: the
///   source may have changed and changed back in between, with the target read at the wrong moment,
///   and the target may be ahead of what a snapshot of the source can see yet. Several in a row,
///   with the same two images and growing random pauses, rule out the second; the first is ruled
///   out by *pinning*:
///   · the row's version at the source was the same twice: it was this row all the while;
///   · or the row is not at the source, and its version at the target is that of the last look,
///     since when the target has passed a place where the row was not.
///   · or the source's position did not move at all.
///   Without versions (a source that has none) more looks are asked for.
/// - Anything else: the row moved; it is looked at again.
/// docs/adr/0012-verification.md. C17, rules 27, design 3.10
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

    /// The three readings of one row by a look.
    struct Readings {
        Seen source_first, target, source;
        bool quiet = false;  ///< the source's position did not move
    };

    static double weigh(const Candidate& last, const Readings& now);
    void judge(Candidate& candidate, Readings now) const;

    Verifier::Parts& parts_;
    const VerifyOptions& options_;
    const Plan& plan_;
};

}  // namespace qiao::verify::internal
