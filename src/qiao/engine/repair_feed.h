#pragma once

#include "qiao/capture/streaming_source.h"
#include "qiao/common/clock.h"
#include "qiao/common/rng.h"
#include "qiao/verify/repair.h"

namespace qiao::engine {

/// Stands between a source and its packer and puts repairs at their place in the stream: behind
/// every transaction that commits before the repair's snapshot, before every other one. What the
/// source delivers passes unchanged. docs/adr/0012-verification.md. Spec: R-35. Source: rules 27
class RepairFeed final : public capture::TransactionSink {
public:
    RepairFeed(capture::TransactionSink& packer, Clock& clock, Rng& rng)
        : packer_(packer), clock_(clock), rng_(rng) {}

    /// Waits here until the source has delivered everything before the plan's position.
    void add(verify::RepairPlan plan);

    /// Plans added and not passed on yet.
    bool waiting() const { return !placement_.empty(); }

    void schema(const model::TableSchema& schema) override { packer_.schema(schema); }

    void begin(const model::TransactionHead& head) override;

    void change(const model::Change& change) override { packer_.change(change); }

    void commit(const model::TransactionHead& head) override { packer_.commit(head); }

    void heartbeat(const capture::Heartbeat& heartbeat) override;

    void progress(const model::SourcePosition& position) override { packer_.progress(position); }

    bool full() const override { return packer_.full(); }

private:
    void pass_on(std::vector<verify::RepairPlan> plans);

    capture::TransactionSink& packer_;
    Clock& clock_;
    Rng& rng_;
    verify::RepairPlacement placement_;
};

}  // namespace qiao::engine
