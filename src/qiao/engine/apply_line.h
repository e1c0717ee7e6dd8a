#pragma once

#include "qiao/apply/applier.h"
#include "qiao/common/async/scope.h"
#include "qiao/engine/flow_log.h"
#include "qiao/engine/key_store.h"
#include "qiao/engine/unpacker.h"
#include "qiao/trail/cursor.h"
#include "qiao/trail/trail.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace qiao::engine {

/// The trail's consumer that stands for this side's applier.
constexpr const char* kApplyConsumer = "apply";

/// How an applying line stands, for status.
struct ApplyLineStatus {
    bool feeding = false;
    ChainTip applied;
    WallTime newest_commit;  ///< the source's clock, of the last transaction applied
    std::optional<packet::HeartbeatBody> heartbeat;  ///< the newest that has come out here
    std::optional<Error> last_error;
    /// Tables that are not what their source is, or not known to be.
    std::vector<drivers::TableState> doubtful;
    apply::ApplyStatus applier;
};

/// Trail to target, for one stream: opens packets and feeds the applier, from the target's own
/// checkpoint on. Spec. Source: rules 2, 8, 17
class ApplyLine final : public apply::ApplyObserver {
public:
    struct Parts {
        Executor& executor;
        Clock& clock;
        Rng& rng;
        trail::Trail& trail;
        KeyStore& keys;
        packet::ReceiverKeys receivers;
        drivers::TargetDatabase& database;
        FlowLog log = {};
    };

    /// Committed and flushed at the target up to the tip.
    using OnApplied = std::function<void(const ChainTip&)>;

    /// `on_doubted`: run() is to be called now, to say what is the matter.
    ApplyLine(
        Parts parts,
        apply::ApplierOptions options,
        OnApplied on_applied,
        std::function<void()> on_doubted
    );

    /// Takes the stream over at the target. One try.
    Task<Status> open();
    /// After open(): applies what comes, until stop or an error that waiting does not mend.
    Task<Status> run(StopSignal& stop);

    /// For first loads, after open().
    apply::Applier& applier() { return *applier_; }

    ChainTip tip() const { return applied_; }

    ApplyLineStatus status() const;

    void applied(const apply::Applied& applied) override;
    void doubted() override;

private:
    Task<Status> hold_back_retention();
    Task<Result<drivers::CheckpointRow>> rewind(StopSignal& stop);
    Task<void> feed(Status& ended, StopSignal& stop);
    Task<Status> feed_all(StopSignal& stop);
    using Unpacked = std::vector<std::variant<apply::Input, Recall>>;

    Task<Result<Unpacked>> unpack(const trail::Record& record);
    Task<Result<Unpacked>> take(const packet::PacketView& view, ByteView wire);
    Task<Status> send(apply::Input input);
    Task<Status> recall(Recall what);
    Task<Result<Bytes>> open_body(const packet::PacketView& view);
    Error went_back(const Error& gone, StreamPoint at) const;
    void set_checkpoint(const drivers::CheckpointRow& row);

    Parts parts_;
    StreamId stream_;
    OnApplied on_applied_;
    std::function<void()> on_doubted_;
    packet::KeyRing ring_;
    std::unique_ptr<apply::Applier> applier_;
    std::optional<Unpacker> unpacker_;
    UnsettledPackets unsettled_;
    ChainTip applied_;
    ApplyLineStatus status_;
};

}  // namespace qiao::engine
