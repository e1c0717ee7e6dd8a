#pragma once

#include "qiao/common/error.h"
#include "qiao/common/id.h"
#include "qiao/drivers/target_session.h"

#include <cstdint>
#include <optional>
#include <string>

namespace qiao::apply {

enum class ApplyState : uint8_t {
    Idle,
    Applying,
    WaitingForLoad,  ///< the next transaction needs a table whose load is under way
    Retrying,        ///< a transient failure; tried again after a growing pause
    Paused,          ///< an operator must mend something; tried again meanwhile
    Stopped,         ///< by policy, fencing or a broken stream: only a new start goes on
};

/// What an operator sees of an applier.
struct ApplyStatus {
    ApplyState state = ApplyState::Idle;
    uint32_t tries = 0;  ///< of the present group, failed
    std::optional<Error> last_error;
    std::string waiting_for;  ///< the table of WaitingForLoad

    uint64_t transactions = 0;  ///< of the source, applied by this process
    uint64_t rows = 0;
    uint64_t groups = 0;        ///< target transactions committed
    uint64_t redone = 0;        ///< units that did not go as sets and went row by row
    uint64_t skipped = 0;       ///< transactions that were applied before (rules 2)
    uint64_t rows_not_due = 0;  ///< changes that a load contains, or of a table out of step
    uint64_t divergences = 0;
    uint64_t diverted = 0;    ///< changes laid behind an open error, divergences included
    size_t open_errors = 0;   ///< names of rows behind which changes wait
    uint64_t laid_aside = 0;  ///< changes that wait; not zero: the flow is not green

    size_t group_rows = 0;       ///< of the last group
    size_t group_rows_goal = 0;  ///< of the next, when so many wait
    double rows_per_second = 0;  ///< over the last groups' own time
    size_t queue = 0;            ///< inputs that wait
    size_t queue_bytes = 0;
};

/// What one committed target transaction brought.
struct Applied {
    StreamPoint point;
    model::SourcePosition position;
    Digest digest;
    size_t transactions = 0;
    size_t rows = 0;
    WallTime newest_commit;  ///< the source's clock, of the last transaction; zero: none
};

/// Told synchronously; must not call back into the applier.
class ApplyObserver {
public:
    virtual ~ApplyObserver() = default;
    /// Committed and flushed at the target. Never goes back. Source: rules 8
    virtual void applied(const Applied& applied) = 0;

    /// A row was laid aside by policy and is committed in the error table.
    virtual void diverged(const drivers::ErrorRow& row) { (void)row; }

    /// A load beside the applier has found that the stream must be claimed anew: run() says why,
    /// and is to be called for that if it is not under way. Called once at most after an open().
    virtual void doubted() {}
};

}  // namespace qiao::apply
