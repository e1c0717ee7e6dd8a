#include "qiao/engine/repair_feed.h"

namespace qiao::engine {

void RepairFeed::add(verify::RepairPlan plan) {
    if (!plan.changes.empty()) {
        placement_.add(std::move(plan));
    }
}

void RepairFeed::prove(model::TableName table, model::SourcePosition position) {
    proofs_.insert_or_assign(std::move(table), std::move(position));
}

/// A proof counts if nothing was noticed of its table since the comparison, and if this feed would
/// have seen it.
void RepairFeed::add_proofs(capture::Heartbeat& heartbeat) {
    for (auto proof = proofs_.begin(); proof != proofs_.end();) {
        const auto& [table, position] = *proof;
        if (!(model::compare(position, heartbeat.position) <= 0)) {
            ++proof;
            continue;
        }
        const auto doubt = doubts_.find(table);
        const bool seen = since_ && model::compare(position, *since_) >= 0;
        if (seen && (doubt == doubts_.end() || model::compare(position, doubt->second) > 0)) {
            heartbeat.notices.push_back({model::TableNotice::Kind::Proven, table});
        }
        proof = proofs_.erase(proof);
    }
}

void RepairFeed::begin(const model::TransactionHead& head) {
    pass_on(placement_.before(head.commit));
    packer_.begin(head);
}

void RepairFeed::commit_ahead(const model::TransactionHead& head) {
    pass_on(placement_.before(head.commit));
    packer_.commit_ahead(head);
}

void RepairFeed::heartbeat(const capture::Heartbeat& heartbeat) {
    pass_on(placement_.delivered(heartbeat.position));
    if (!since_) {
        since_ = heartbeat.position;
    }
    for (const auto& notice : heartbeat.notices) {
        doubts_.insert_or_assign(notice.table, heartbeat.position);
    }
    if (proofs_.empty()) {
        packer_.heartbeat(heartbeat);
        return;
    }
    auto with_proofs = heartbeat;
    add_proofs(with_proofs);
    packer_.heartbeat(with_proofs);
}

/// The plan's snapshot shows what commits before its position, and a transaction of the source may
/// yet commit at the very position: the repair's own lies right before it.
void RepairFeed::pass_on(std::vector<verify::RepairPlan> plans) {
    for (const auto& plan : plans) {
        model::TransactionHead head;
        head.xid = rng_.number() | model::TransactionHead::kRepairXid;
        head.commit = plan.position.predecessor();
        head.end = head.commit;
        head.commit_time = clock_.wall_now();
        packer_.schema(plan.schema);
        packer_.begin(head);
        for (const auto& change : plan.changes) {
            packer_.change(change);
        }
        packer_.commit(head);
    }
}

}  // namespace qiao::engine
