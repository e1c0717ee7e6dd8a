#pragma once

#include "qiao/apply/input.h"
#include "qiao/apply/options.h"
#include "qiao/apply/status.h"
#include "qiao/common/async/backoff.h"
#include "qiao/common/async/channel.h"
#include "qiao/common/async/stop.h"
#include "qiao/common/clock.h"
#include "qiao/common/rng.h"
#include "qiao/drivers/target_session.h"

#include <memory>

namespace qiao::apply {

/// Turns the source transactions of one stream into transactions of one target, in order and each
/// exactly once: rows and checkpoint commit together, under a lock that another owner takes away.
///
/// Invariants: a source transaction is never split; nothing is reported before it is committed;
/// what lies at or before the checkpoint's position is skipped; an error that time or an operator
/// can mend is tried again for ever, one of a row goes by policy, and none is ever passed over.
///
/// One executor. The order of calls: open(), then run() while the owner sends to input().
/// Source: rules 2, 4, 17-23. Spec
class Applier {
public:
    /// All of them outlive the applier.
    Applier(
        drivers::TargetDatabase& database,
        Executor& executor,
        Clock& clock,
        Rng& rng,
        ApplierOptions options,
        ApplyObserver& observer
    );
    ~Applier();

    /// Takes the stream over for this incarnation and tells where to go on: feed what comes after.
    /// An older owner writes nothing any more. One try. Errors: drivers.*
    Task<Result<drivers::CheckpointRow>> open();

    /// Where inputs go, in the stream's order; weigh them by the bytes they hold. close() it to
    /// let run() end after the last.
    Channel<Input>& input();

    /// Applies until the input is closed and everything whole is committed, or the flow stops.
    /// Errors: common.cancelled at stop · apply.fenced · apply.rewind: call rewind(), feed again
    /// from there · apply.unknown_schema · the error of a row by policy, naming table and key.
    Task<Status> run(StopSignal& stop);

    /// After apply.rewind, with nobody sending: forgets what waits, and tells from where to feed
    /// input(), which is a new one, open. Then run() again. Unlike open() it does not take the
    /// stream from a newer owner. Errors: apply.fenced, drivers.*
    Task<Result<drivers::CheckpointRow>> rewind();

    ApplyStatus status() const;
    /// The last row known to be committed.
    const drivers::CheckpointRow& checkpoint() const;
    /// Under the source's names, as everything that is kept beside the checkpoint.
    std::vector<drivers::TableState> table_states() const;
    /// What was announced (Loader::announce) and has not begun does not come.
    void expect_no_loads();
    /// Those that are unproven, paused, or in need of a resync.
    std::vector<drivers::TableState> doubtful_tables() const;
    /// From the source's names to the target's.
    const model::Mapping& names() const;

private:
    friend class Loader;
    struct Core;
    std::unique_ptr<Core> core_;
};

}  // namespace qiao::apply
