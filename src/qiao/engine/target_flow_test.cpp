#include "qiao/engine/target_flow.h"

#include "qiao/common/async/sleep.h"
#include "qiao/drivers/model/model_database.h"
#include "qiao/engine/line_world_test.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace qiao::engine {
namespace {

using drivers::model_db::ModelDatabase;
using testing::Holder;
using testing::ManualWorld;

class NoStructures final : public StructureMaker {
public:
    Task<Result<drivers::CreateReport>> create(
        drivers::Structure /*structure*/, drivers::StructurePhase /*phase*/
    ) override {
        co_return drivers::CreateReport{};
    }

    Task<Result<drivers::CreateReport>> advance_sequences(
        std::vector<drivers::SequenceValue> /*values*/
    ) override {
        co_return drivers::CreateReport{};
    }
};

/// A target whose trail holds packets that it has acknowledged and not applied yet.
class Target {
public:
    Target() : holder(world), database_(world, world, 1) {
        holder.open();
        auto packer = holder.packer();
        keep(packer);
        for (uint64_t number = 1; number <= 13; ++number) {
            capture::Heartbeat beat;
            beat.position = testing::head(number).commit;
            packer.heartbeat(beat);
            keep(packer);
            if (number % 4 == 0) {
                holder.close();
                holder.open();
            }
        }
    }

    /// Over several packets, of which the first is `wires[first]`.
    void add_transaction() {
        auto packing = holder.packing();
        packing.packet_bytes = 500;
        auto packer = holder.packer(tips.back(), std::move(packing));
        keep(packer);
        packer.begin(testing::head(20));
        for (int changes = 0; changes < 20; ++changes) {
            testing::change(packer, 100);
        }
        packer.commit(testing::head(20));
        packer.flush();
        keep(packer);
    }

    void make_live() {
        auto session = world.run(database_.connect());
        const drivers::TableState live{{"public", "person"}, 1, drivers::TableStatus::Live, {}};
        EXPECT_TRUE(world.run((*session)->prepare()));
        EXPECT_TRUE(world.run((*session)->claim(holder.stream, world.make_id<Incarnation>())));
        EXPECT_TRUE(world.run((*session)->begin("")));
        EXPECT_TRUE(world.run((*session)->save_table_state(holder.stream, live)));
        EXPECT_EQ(world.run((*session)->commit()).kind, drivers::CommitOutcome::Kind::Committed);
    }

    /// Turns a bit of a packet where it lies on the disk.
    void spoil(size_t number) {
        holder.close();
        const auto& wire = wires[number];
        for (const auto& path : holder.disk.paths()) {
            const auto content = *holder.disk.content(path);
            const auto at = std::ranges::search(content, wire);
            if (!at.empty()) {
                holder.disk.flip(path, static_cast<uint64_t>(at.begin() - content.begin()) + 20);
            }
        }
        holder.open();
    }

    /// One life of the flow, for a while; how it ended, or how far it held when it was stopped.
    Result<ChainTip> live() {
        TargetFlowOptions options;
        options.name = "persons";
        options.stream = holder.stream;
        options.peer = "province";
        options.consumer = "city";
        options.damaged_behind = damaged_behind_;
        options.apply.stream = holder.stream;
        options.apply.owner = world.make_id<Incarnation>();
        TargetFlow flow(
            {world,
             world,
             world,
             *holder.trail,
             *holder.keys,
             {holder.wrapping},
             database_,
             structures_},
            std::move(options)
        );
        StopSignal stop;
        const auto opened = world.run(flow.open(stop));
        damaged_behind_ = flow.damaged_behind();
        QIAO_CHECK(opened);
        std::optional<Status> ended;
        TaskScope scope(world);
        scope.spawn(run(flow, stop, ended));
        StopSignal never;
        (void)world.run(sleep_for(world, world, std::chrono::seconds(1), never));
        stop.request();
        world.run(scope.join());
        damaged_behind_ = flow.damaged_behind();
        QIAO_CHECK(*ended);
        return flow.inbox()->tip();
    }

    StreamPoint applied() const {
        return database_.committed().checkpoints.at(holder.stream).point;
    }

    ManualWorld world;
    Holder holder;
    std::vector<Bytes> wires;
    std::vector<ChainTip> tips;

private:
    static Task<void> run(TargetFlow& flow, StopSignal& stop, std::optional<Status>& ended) {
        ended = co_await flow.run(stop);
    }

    void keep(Packer& packer) {
        for (const auto& packet : packer.take()) {
            tips.push_back(*tip_of(*packet::PacketView::parse(packet.wire)));
            wires.push_back(packet.wire);
            const auto point = tips.back().point;
            EXPECT_TRUE(world.run(holder.trail->append(holder.stream, point, packet.wire)));
        }
        EXPECT_TRUE(world.run(holder.trail->sync()));
    }

    ModelDatabase database_;
    NoStructures structures_;
    std::optional<StreamPoint> damaged_behind_;
};

// Goal: wherever an acknowledged packet rots, what lies in front of it is applied, and the sender
// is asked for it and all behind it; never for more, never for less. Source: rules 8, 9
TEST(TargetFlow, APacketThatRotsIsAskedForAgainWhenAllBeforeItIsApplied) {
    const auto last = Target().wires.size() - 1;
    for (size_t rotten = 1; rotten <= last; ++rotten) {
        for (const bool end_too : {false, true}) {
            SCOPED_TRACE(rotten);
            Target target;
            target.make_live();
            target.spoil(rotten);
            if (end_too) {
                target.spoil(last);
            }
            auto held = target.live();
            for (int life = 1; !held && life < 3; ++life) {
                EXPECT_EQ(held.error().code(), ErrorCode::TrailDamaged);
                held = target.live();
            }
            ASSERT_TRUE(held) << held.error().to_string();
            EXPECT_EQ(held->point, target.tips[rotten - 1].point);
            EXPECT_EQ(held->digest, target.tips[rotten - 1].digest);
            EXPECT_EQ(target.applied(), held->point);
        }
    }
}

// What lies in front of the damage is nothing without it.
TEST(TargetFlow, TheFrontOfATransactionIsAskedForAgainWithItsRest) {
    for (const bool end_too : {true, false}) {
        Target target;
        const auto before = target.tips.size();
        target.add_transaction();
        ASSERT_GT(target.wires.size(), before + 4)
            << "a key, an end of what came before, fragments";
        target.make_live();
        target.spoil(target.wires.size() - 2);
        if (end_too) {
            target.spoil(target.wires.size() - 1);
        }
        auto held = target.live();
        ASSERT_FALSE(held);
        EXPECT_EQ(held.error().code(), ErrorCode::TrailDamaged);
        held = target.live();
        ASSERT_TRUE(held) << held.error().to_string();
        EXPECT_EQ(held->point, target.tips[before + 1].point);
        EXPECT_EQ(target.applied(), held->point);
    }
}

// A load brings what the packets in front of the damage say.
TEST(TargetFlow, NothingIsAppliedInFrontOfDamageWhileAFirstLoadIsMissing) {
    Target target;
    // Of the last packet, alone in its segment, the trail still knows what it followed.
    target.spoil(target.wires.size() - 2);
    target.spoil(target.wires.size() - 1);
    ASSERT_FALSE(target.live());
    const auto held = target.live();
    ASSERT_TRUE(held) << held.error().to_string();
    EXPECT_EQ(held->point, StreamPoint{});
    EXPECT_EQ(target.applied(), StreamPoint{});
}

}  // namespace
}  // namespace qiao::engine
