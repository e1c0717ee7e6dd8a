#include "qiao/engine/repair_feed.h"

namespace qiao::engine {
namespace {

/// Tells the numbers of repairs from those that a source gives to its own transactions.
constexpr uint64_t kRepairBit = uint64_t{1} << 63U;

}  // namespace

void RepairFeed::add(verify::RepairPlan plan) {
    if (!plan.changes.empty()) {
        placement_.add(std::move(plan));
    }
}

void RepairFeed::begin(const model::TransactionHead& head) {
    pass_on(placement_.before(head.commit));
    packer_.begin(head);
}

void RepairFeed::heartbeat(const capture::Heartbeat& heartbeat) {
    pass_on(placement_.delivered(heartbeat.position));
    packer_.heartbeat(heartbeat);
}

/// The plan's snapshot shows what commits before its position, and a transaction of the source may
/// yet commit at the very position: the repair's own lies right before it.
void RepairFeed::pass_on(std::vector<verify::RepairPlan> plans) {
    for (const auto& plan : plans) {
        model::TransactionHead head;
        head.xid = rng_.number() | kRepairBit;
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
