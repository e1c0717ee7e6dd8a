#include "qiao/engine/repair_feed.h"

#include "qiao/common/plant.h"

#include <utility>

namespace qiao::engine {

void RepairFeed::add(verify::RepairPlan plan) {
    if (!plan.changes.empty()) {
        placement_.add(std::move(plan));
    }
}

void RepairFeed::prove(model::TableName table, model::SourcePosition position) {
    proofs_.insert_or_assign(std::move(table), std::move(position));
}

void RepairFeed::add_proofs(capture::Heartbeat& heartbeat) {
    std::erase_if(proofs_, [&heartbeat](const auto& proof) {
        const auto& [table, position] = proof;
        const bool passed = model::compare(position, heartbeat.position) <= 0;
        if (passed) {
            heartbeat.notices.push_back({model::TableNotice::Kind::Proven, table, position});
        }
        return passed;
    });
}

void RepairFeed::begin(const model::TransactionHead& head) {
    pass_on(placement_.before(head.commit));
    if (is_planted(Plant::RepairRacesTheStream)) {
        repeat_stale(head.commit);
    }
    passed(head.commit);
    packer_.begin(head);
}

void RepairFeed::commit_ahead(const model::TransactionHead& head) {
    pass_on(placement_.before(head.commit));
    passed(head.commit);
    packer_.commit_ahead(head);
}

void RepairFeed::heartbeat(const capture::Heartbeat& heartbeat) {
    pass_on(placement_.delivered(heartbeat.position));
    passed(heartbeat.position);
    if (proofs_.empty()) {
        packer_.heartbeat(heartbeat);
        return;
    }
    auto with_proofs = heartbeat;
    add_proofs(with_proofs);
    packer_.heartbeat(with_proofs);
}

void RepairFeed::passed(const model::SourcePosition& position) {
    if (last_.empty() || model::compare(position, last_) > 0) {
        last_ = position;
    }
}

/// The plan's snapshot shows what commits before its position, and a transaction of the source may
/// yet commit at the very position: the repair's own lies right before it. Records of the log begin
/// at multiples of eight, so several repairs have room there one after the other.
std::optional<model::SourcePosition> RepairFeed::place_before(const model::SourcePosition& position
) const {
    const auto is_free = [this](const model::SourcePosition& place) {
        return last_.empty() || model::compare(place, last_) > 0;
    };
    auto place = position.predecessor();
    if (!is_free(place)) {
        return std::nullopt;
    }
    for (int i = 1; i < model::kFreeBeforeRecord && is_free(place.predecessor()); ++i) {
        place = place.predecessor();
    }
    return place;
}

void RepairFeed::pass_on(std::vector<verify::RepairPlan> plans) {
    for (auto& plan : plans) {
        const auto place = place_before(plan.position);
        if (!place) {
            ++unplaced_;
            continue;
        }
        model::TransactionHead head;
        head.xid = rng_.number() | model::TransactionHead::kRepairXid;
        head.commit = head.end = *place;
        head.commit_time = clock_.wall_now();
        passed(head.commit);
        packer_.schema(plan.schema);
        packer_.begin(head);
        for (const auto& change : plan.changes) {
            packer_.change(change);
        }
        packer_.commit(head);
        if (is_planted(Plant::RepairRacesTheStream)) {
            stale_.push_back(std::move(plan));
        }
    }
}

/// What a repair would do that came once more, behind what has changed since.
void RepairFeed::repeat_stale(const model::SourcePosition& commit) {
    constexpr size_t kLate = 30;
    if (stale_.empty() || ++late_ % kLate != 0) {
        return;
    }
    auto plans = std::exchange(stale_, {});
    for (auto& plan : plans) {
        plan.position = commit;
    }
    pass_on(std::move(plans));
    stale_.clear();
}

}  // namespace qiao::engine
