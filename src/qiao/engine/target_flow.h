#pragma once

#include "qiao/engine/apply_line.h"
#include "qiao/engine/inbox_line.h"
#include "qiao/engine/local_target.h"
#include "qiao/engine/offer.h"

#include <memory>
#include <optional>
#include <string>

namespace qiao::engine {

struct TargetFlowOptions {
    std::string name;
    StreamId stream;
    std::string peer;  ///< the node that may send this flow; empty: no link, the trail is shared
    std::string consumer;     ///< this node's name in acknowledgements
    bool may_create = false;  ///< see LocalTarget::Parts
    /// What the life before was damaged behind: asked for again, if the target still stands there.
    std::optional<StreamPoint> damaged_behind;
    apply::ApplierOptions apply;
    std::function<void(const ChainTip&)> on_applied;  ///< besides telling the sender
};

/// The target's side of one flow: what the link brings is kept, loads go straight in, and the log
/// is applied as soon as no first load is missing. Spec
class TargetFlow {
public:
    struct Parts {
        Executor& executor;
        Clock& clock;
        Rng& rng;
        trail::Trail& trail;
        KeyStore& keys;
        packet::ReceiverKeys receivers;
        drivers::TargetDatabase& database;
        StructureMaker& structures;
        FlowLog log = {};
    };

    TargetFlow(Parts parts, TargetFlowOptions options);

    /// Takes the stream over at the target and finds what is held. Transient errors are retried
    /// until stop, which outlives the flow. Then target() may be used.
    Task<Status> open(StopSignal& stop);
    /// After open(): until stop or an error that waiting does not mend.
    Task<Status> run(StopSignal& stop);

    FlowTarget& target() { return *target_; }

    /// Makes durable what the target's state is about to state as held.
    Task<Status> settle();

    const TargetFlowOptions& options() const { return options_; }

    /// Serves an offer of the log or of a load part, by a session of the right peer.
    Task<void> serve(link::IncomingStream& incoming, OfferMetadata::Role role);

    ApplyLineStatus apply_status() const { return apply_.status(); }

    const InboxLine* inbox() const { return inbox_.get(); }

    bool opened() const { return target_ != nullptr; }

    /// Everything that can be applied was, up to here; what comes next in the trail is damaged. For
    /// the next life.
    const std::optional<StreamPoint>& damaged_behind() const { return damaged_behind_; }

private:
    Task<Status> open_once(StopSignal& stop);
    bool is_loaded();
    Task<Result<ChainTip>> held_tip(StopSignal& stop);
    Task<bool> is_kept_behind(StreamPoint point);
    Task<Status> may_start_again(Error why, StreamPoint committed, StopSignal& stop);
    Task<Status> apply(StopSignal& stop);
    Task<Status> wait_until_it_came_again(StopSignal& stop);
    Task<void> run_inbox(Status& ended, TaskScope& scope);
    Task<Status> receive_part(link::IncomingStream& incoming);
    void applied(const ChainTip& tip);

    Parts parts_;
    TargetFlowOptions options_;
    ApplyLine apply_;
    std::unique_ptr<InboxLine> inbox_;
    std::unique_ptr<LocalTarget> target_;
    Event may_apply_;
    std::optional<StreamPoint> damaged_behind_;
};

}  // namespace qiao::engine
