#pragma once

#include "qiao/capture/postgres/lsn.h"
#include "qiao/common/result.h"
#include "qiao/common/time.h"

#include <optional>

namespace qiao::capture::postgres {

/// A transaction that a position was reached by. A server that sends it again, at the same place
/// with the same check, still has the history that the position is of: neither system nor timeline
/// tell when a machine's snapshot was put back. Source: rules 1
struct Anchor {
    Lsn commit = 0;
    uint32_t check = 0;  ///< of its id and its commit time
    bool operator==(const Anchor&) const = default;

    static Anchor of(Lsn commit, uint32_t xid, WallTime commit_time);
};

model::SourcePosition with_anchor(model::SourcePosition position, const Anchor& anchor);
std::optional<Anchor> anchor_of(const model::SourcePosition& position);

/// Waits in a session for the anchor by which it goes on.
class AnchorCheck {
public:
    /// Without an anchor there is nothing to wait for.
    explicit AnchorCheck(std::optional<Anchor> awaited) : awaited_(awaited) {}

    bool met() const { return !awaited_; }

    /// The server has told of this commit; what lies before the anchor does not matter.
    /// Errors: capture.identity when it stands where the anchor should, or behind it.
    Status see(const Anchor& commit);

    /// The server has sent all commits before `end`. Errors: capture.identity without the anchor.
    Status passed(Lsn end) const;

private:
    Error other_history() const;

    std::optional<Anchor> awaited_;
};

}  // namespace qiao::capture::postgres
