#include "qiao/agent/two_agents_test.h"

#include <iostream>
#include <set>

// Each operation of a disk of either node, of opening, loading, following, retention and stopping,
// fails once in each way.
namespace qiao::agent {
namespace {

using namespace testing;
using qiao::testing::DiskFailure;
using qiao::testing::DiskOp;
using qiao::testing::FaultPoint;
using Names = std::set<std::string>;

/// The same story each time, until its fault strikes: a load, rows that fill segments, which are
/// removed again, both nodes stopped and started in order, more rows.
class Story {
public:
    enum class Node : uint8_t { City, Province };

    Story(Node node, const FaultPoint& point)
        : all_(1, engine::Custody::Hop), side_(node == Node::City ? all_.city : all_.province) {
        for (auto* side : {&all_.city, &all_.province}) {
            side->config.flows.resize(1);
            side->config.trail.segment_bytes = 64U << 10U;
            side->config.trail.grace = milliseconds(500);
        }
        // Keys are wrapped at each start; this suite does it in a fraction of the time.
        static const auto key = crypto::PrivateKey::generate(crypto::KeyKind::P256);
        all_.city.config.flows.front().suite = "intl";
        all_.city.identity.receivers["persons"] = key->public_key();
        all_.province.identity.wrapping = {key};
        side_.disk = std::make_unique<MemoryStorage>(all_.world, point.n);
        side_.disk->strike(point.op, point.n, point.failure);
    }

    /// Whether it met its fault; none: something is wrong.
    std::optional<bool> play() {
        source().commit_random();
        all_.start(all_.province);
        all_.start(all_.city);
        pass(seconds(3));
        for (int round = 0; round < 2; ++round) {
            for (int i = 0; i < 4; ++i) {
                source().insert(100 + i + 10 * round, std::string(24'000, 'x'));
                source().commit_random();
                pass(milliseconds(300));
            }
            pass(seconds(2));
            if (round == 0) {
                restart(all_.province);
                restart(all_.city);
            }
        }
        make_peace();
        if (::testing::Test::HasFailure()) {
            return std::nullopt;
        }
        return side_.disk->struck();
    }

    /// What the node has said of what went wrong.
    const Names& told() const { return told_; }

private:
    LivingSource& source() { return all_.source("persons"); }

    void restart(TwoAgents::Side& side) {
        all_.stop(side);
        all_.start(side);
        pass(seconds(2));
    }

    /// Time passes, and what a machine's people and supervisor do is done.
    void pass(Duration duration) {
        constexpr Duration kStep = milliseconds(100);
        for (Duration passed{}; passed < duration; passed += kStep) {
            all_.wait(kStep);
            all_.expect_exact("persons");
            if (++steps_ % kListenEvery == 0) {
                listen();
            }
            if (side_.disk->crashed()) {
                all_.stop(side_);
                side_.disk->restart();
            }
            for (auto* side : {&all_.city, &all_.province}) {
                if (!side->running) {
                    note(side->ended ? std::nullopt : std::optional(side->ended.error()));
                    all_.stop(*side);
                    all_.start(*side);
                }
            }
            if (side_.disk->full() && ++full_for_ == kFullFor) {
                side_.disk->free_space();
            }
        }
    }

    void note(const std::optional<Error>& error) {
        if (error) {
            told_.emplace(error->info().name);
        }
    }

    void listen() {
        const auto status = side_.agent->status();
        note(status.last_error);
        note(status.transfer_log.last_error);
        for (const auto& flow : status.flows) {
            note(flow.last_error);
            for (const auto& stage : flow.stages) {
                note(stage.last_error);
            }
        }
    }

    /// Everything arrives, is green, and stays when either node is started again.
    void make_peace() {
        const auto arrived = [this] {
            return all_.target_rows("persons") == source().rows() && green(all_.city) &&
                   green(all_.province);
        };
        for (int i = 0; i < 100 && !arrived(); ++i) {
            pass(seconds(1));
        }
        EXPECT_TRUE(arrived()) << to_text(all_.city.agent->status(), Language::English)
                               << to_text(all_.province.agent->status(), Language::English);
        EXPECT_EQ(all_.target_rows("persons"), source().rows());
        EXPECT_EQ(all_.flow(all_.province, "persons").divergences, 0U);
        EXPECT_EQ(all_.flow(all_.city, "persons").went_back, 0U);
        EXPECT_EQ(all_.target_database.counters().unlocked_commits, 0U);
        EXPECT_FALSE(side_.agent->status().transfer_log.last_error);
    }

    /// Also while its state is being opened: then not.
    static bool green(TwoAgents::Side& side) {
        const auto status = side.agent->status();
        return !status.flows.empty() && status.flows.front().green;
    }

    static constexpr int kFullFor = 30;
    static constexpr int kListenEvery = 4;  ///< a status costs more than a step

    TwoAgents all_;
    TwoAgents::Side& side_;
    Names told_;
    int full_for_ = 0;
    int steps_ = 0;
};

/// Whoever looks at the node's status learns what its disk does, and nothing else is wrong.
void expect_told(const FaultPoint& point, const Names& told) {
    const Names failed{"common.storage_io", "trail.io"};
    const Names full{"common.storage_full", "trail.disk_full"};
    const Names passing{"common.network_unreachable", "link.busy"};
    const auto& expected = point.failure == DiskFailure::Full ? full : failed;
    bool told_it = false;
    for (const auto& name : told) {
        told_it = told_it || expected.contains(name);
        EXPECT_TRUE(expected.contains(name) || passing.contains(name)) << name;
    }
    EXPECT_TRUE(told_it || point.failure == DiskFailure::Crash) << "it was passed over in silence";
}

/// Plays the story with each operation of one node's disk struck in each way.
void sweep(Story::Node node) {
    std::map<std::string, uint64_t> told;
    const auto play = [&](const FaultPoint& point) {
        SCOPED_TRACE(point.to_string());
        Story story(node, point);
        const auto met = story.play();
        if (met.value_or(false)) {
            expect_told(point, story.told());
        }
        for (const auto& name : story.told()) {
            ++told[name];
        }
        return met;
    };
    const auto count = qiao::testing::sweep_faults(
        {DiskFailure::Error, DiskFailure::Full, DiskFailure::Crash}, play
    );
    std::cout << count.to_string() << "\n";
    for (const auto& [name, times] : told) {
        std::cout << "  " << name << " " << times << "\n";
    }
    // What a story of this length has at least; each kind was swept until a play met it no more.
    EXPECT_GT(count.all, 300U);
    using enum DiskOp;
    for (const auto op : {Open, Create, Read, Write, Sync, SyncFolder, Rename, Remove, List}) {
        EXPECT_GT(count.of(op), 5U) << to_text(op);
    }
}

// Spec
// Source: rules 8, 9
TEST(EachOperationOfADisk, AtTheSourcesNodeMayFailAndNothingIsLostOrDoubledOrStandsStill) {
    sweep(Story::Node::City);
}

// Spec
// Source: rules 8, 9
TEST(EachOperationOfADisk, AtTheTargetsNodeMayFailAndNothingIsLostOrDoubledOrStandsStill) {
    sweep(Story::Node::Province);
}

}  // namespace
}  // namespace qiao::agent
