#pragma once

#include "qiao/common/assert.h"
#include "qiao/common/async/stop.h"
#include "qiao/common/async/task.h"
#include "qiao/common/result.h"
#include "qiao/common/time.h"
#include "qiao/model/change.h"
#include "qiao/model/table_notice.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace qiao::capture {

using model::TableNotice;

/// A sign of life that the source itself wrote into its log: what comes out at the other end with
/// it proves that rows move. From a source that may not be written to, that its log reader has come
/// so far. Source: rules 6; complaints 1 and 5 of cdc.md
struct Heartbeat {
    WallTime written_at;             ///< the source's clock
    model::SourcePosition position;  ///< all commits up to and with it have been delivered
    /// Of the captured tables' catalogue rows; a difference to the digest that was kept from before
    /// a restart means that something changed meanwhile. Empty: the source has none.
    std::string catalogue_digest;
    std::vector<TableNotice> notices;
};

/// Takes what a source delivers, in commit order. Called synchronously; views are valid during the
/// call only. Implemented by the engine's packer.
class TransactionSink {
public:
    virtual ~TransactionSink() = default;

    /// Before the first change that names it, and again when a table has changed.
    virtual void schema(const model::TableSchema& schema) = 0;

    /// begin, changes, commit; never interleaved. The head's `end` is known only at commit. What
    /// was begun and not committed when the source reconnects or fails is void: the source sends it
    /// again from its begin. Spec
    virtual void begin(const model::TransactionHead& head) = 0;
    virtual void change(const model::Change& change) = 0;
    virtual void commit(const model::TransactionHead& head) = 0;

    // Of transactions that are large and not committed yet: what there is of them comes in blocks,
    // between whole transactions and beside each other; nobody sees it before commit_ahead().
    // `xid` names the transaction within the source's session; with the session's end all of them
    // are void and come again from their start. Called by sources that stream. Source: rules 5, 14

    /// change() calls until end_block() belong to `xid`; each names its sub-transaction.
    virtual void begin_block(uint64_t xid) = 0;
    virtual void end_block() = 0;
    /// The source undid this sub-transaction; 0: the whole transaction, which is gone then.
    virtual void undo_ahead(uint64_t xid, uint32_t sub_xid) = 0;
    /// What came in blocks of `head.xid` is committed, in the order of commits.
    virtual void commit_ahead(const model::TransactionHead& head) = 0;

    virtual void heartbeat(const Heartbeat& heartbeat) = 0;
    /// Nothing of ours lies up to `position` that was not delivered: it may be confirmed once what
    /// was delivered is safe. Always a position that a commit or heartbeat had before, so that
    /// nobody confirms what no packet tells of.
    virtual void progress(const model::SourcePosition& position) = 0;

    /// The source stops delivering as soon as it can; it goes on at the next pump().
    virtual bool full() const = 0;
};

/// A sink for sources that deliver committed transactions only.
class CommittedSink : public TransactionSink {
public:
    void begin_block(uint64_t /*xid*/) final { QIAO_ASSERT(false); }

    void end_block() final { QIAO_ASSERT(false); }

    void undo_ahead(uint64_t /*xid*/, uint32_t /*sub_xid*/) final { QIAO_ASSERT(false); }

    void commit_ahead(const model::TransactionHead& /*head*/) final { QIAO_ASSERT(false); }
};

/// An ordered stream of committed transactions of one source: the second of capture's two
/// interfaces. Spec
class StreamingSource {
public:
    virtual ~StreamingSource() = default;

    /// Starts or restarts delivery after `from` (none: where the source's own bookmark stands): all
    /// transactions whose `commit` is greater. Every position here is meant inclusively, as the
    /// last `commit` that was delivered.
    /// Errors: capture.position_lost when the source can no longer go on from there.
    virtual Task<Status> start(model::SourcePosition from) = 0;

    /// Waits until something has come, then delivers all that is there, until the sink is full.
    /// An error ends the session: start() again (transient) or stop (else).
    virtual Task<Status> pump(TransactionSink& sink, StopSignal& stop) = 0;

    /// Whether sessions from the next start() on may deliver open transactions before their commit;
    /// a source that never does may ignore it.
    virtual void allow_ahead(bool allowed) { (void)allowed; }

    /// Everything up to and with `position` is in safe custody; the source may forget it. Never
    /// goes back. Sent along with the next status reply. Source: rules 8
    virtual void confirm(model::SourcePosition position) = 0;

    /// Where the source stands now, for lag: its newest position and the bytes between.
    struct Backlog {
        model::SourcePosition newest;
        uint64_t bytes_behind = 0;
    };

    virtual Backlog backlog() const = 0;

    /// Ends the session and what runs beside it; the last confirm() is still told to the source.
    /// Awaited before the source goes, also after errors. start() may follow.
    virtual Task<void> close() { co_return; }
};

}  // namespace qiao::capture
