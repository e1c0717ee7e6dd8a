#pragma once

#include "qiao/capture/streaming_source.h"
#include "qiao/common/clock.h"
#include "qiao/common/rng.h"
#include "qiao/verify/repair.h"

#include <map>
#include <optional>

namespace qiao::engine {

/// Stands between a source and its packer and puts repairs at their place in the stream: behind
/// every transaction that commits before the repair's snapshot, before every other one. What the
/// source delivers passes unchanged. docs/adr/0012-verification.md. Spec: R-35. Source: rules 27
class RepairFeed final : public capture::TransactionSink {
public:
    /// `tip`: the last position that the packer has.
    RepairFeed(capture::TransactionSink& packer, model::SourcePosition tip, Clock& clock, Rng& rng)
        : packer_(packer), clock_(clock), rng_(rng), last_(std::move(tip)) {}

    /// Waits here until the source has delivered everything before the plan's position.
    void add(verify::RepairPlan plan);

    /// A comparison has found the table equal as of `position`: a heartbeat from there on says so.
    /// Whether that still counts is known where the table's state is.
    void prove(model::TableName table, model::SourcePosition position);

    /// Plans that found no place, because the source's log stood still and those before them had
    /// taken it. They are void.
    uint64_t unplaced() const { return unplaced_; }

    /// Plans added and not passed on yet.
    bool waiting() const { return !placement_.empty() || !proofs_.empty(); }

    void schema(const model::TableSchema& schema) override { packer_.schema(schema); }

    void begin(const model::TransactionHead& head) override;

    void change(const model::Change& change) override { packer_.change(change); }

    void commit(const model::TransactionHead& head) override { packer_.commit(head); }

    void begin_block(uint64_t xid) override { packer_.begin_block(xid); }

    void end_block() override { packer_.end_block(); }

    void undo_ahead(uint64_t xid, uint32_t sub_xid) override { packer_.undo_ahead(xid, sub_xid); }

    void commit_ahead(const model::TransactionHead& head) override;

    void heartbeat(const capture::Heartbeat& heartbeat) override;

    void progress(const model::SourcePosition& position) override { packer_.progress(position); }

    bool full() const override { return packer_.full(); }

private:
    void pass_on(std::vector<verify::RepairPlan> plans);
    std::optional<model::SourcePosition> place_before(const model::SourcePosition& position) const;
    void passed(const model::SourcePosition& position);
    void repeat_stale(const model::SourcePosition& commit);
    void add_proofs(capture::Heartbeat& heartbeat);

    capture::TransactionSink& packer_;
    Clock& clock_;
    Rng& rng_;
    model::SourcePosition last_;  ///< that the packer was told of
    uint64_t unplaced_ = 0;
    std::vector<verify::RepairPlan> stale_;  ///< of a planted bug, which nothing else fills
    size_t late_ = 0;
    verify::RepairPlacement placement_;
    std::map<model::TableName, model::SourcePosition> proofs_;
};

}  // namespace qiao::engine
