#include "qiao/agent/agent.h"

#include "qiao/agent/living_source_test.h"
#include "qiao/common/async/scope.h"
#include "qiao/common/async/sleep.h"
#include "qiao/drivers/model/model_database.h"
#include "qiao/link/plain_authenticator.h"
#include "qiao/testing/memory_storage.h"
#include "qiao/testing/memory_transport.h"

#include <gtest/gtest.h>

namespace qiao::agent {
namespace {

using drivers::model_db::ModelDatabase;
using drivers::model_db::Row;
using qiao::testing::ManualWorld;
using qiao::testing::MemoryStorage;
using qiao::testing::MemoryTransport;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::LivingSource;

class NoStructures final : public engine::StructureMaker {
public:
    Task<Result<drivers::CreateReport>> create(
        drivers::Structure /*structure*/, drivers::StructurePhase /*phase*/
    ) override {
        co_return Error(ErrorCode::DbStatement, "not here");
    }
};

class Forward final : public drivers::TargetDatabase {
public:
    explicit Forward(ModelDatabase& database) : database_(database) {}

    Task<Result<std::unique_ptr<drivers::TargetSession>>> connect() override {
        return database_.connect();
    }

    std::string display() const override { return database_.display(); }

private:
    ModelDatabase& database_;
};

/// Two nodes, `city` with the sources and `province` with one target, in one world.
class TwoAgents : public Databases {
public:
    explicit TwoAgents(uint64_t seed = 1, engine::Custody custody = engine::Custody::Hop)
        : world(seed),
          network(world, world),
          target_database(world, world, seed),
          random(seed),
          scope_(world) {
        add_flow("persons", seed, custody);
        add_flow("parcels", seed + 1000, custody);
        city.config.peers.push_back({"province", {"province", kPort}});
        province.config.listen = Endpoint{"*", kPort};
    }

    ~TwoAgents() override {
        stop(city);
        stop(province);
    }

    struct Side {
        Side(TwoAgents& all, std::string name, uint64_t seed)
            : disk(std::make_unique<MemoryStorage>(all.world, seed)),
              authenticator(all.world, name) {
            config.node = name;
            config.state = "state";
        }

        AgentConfig config;
        Identity identity;
        std::unique_ptr<MemoryStorage> disk;
        link::PlainAuthenticator authenticator;
        std::unique_ptr<Agent> agent;
        std::unique_ptr<StopSignal> stop;
        bool running = false;
        Status ended;
    };

    void start(Side& side) {
        side.agent = std::make_unique<Agent>(
            Seams{world, world, world, *side.disk, network, side.authenticator, *this},
            side.config,
            side.identity,
            "1.2.3"
        );
        side.stop = std::make_unique<StopSignal>();
        side.running = true;
        scope_.spawn(run(side));
    }

    void stop(Side& side) {
        if (!side.agent) {
            return;
        }
        side.stop->request();
        while (side.running) {
            ASSERT_TRUE(world.step());
        }
        side.agent.reset();
    }

    /// As kill -9 and a power cut: the disk keeps what it kept, and nothing is done any more.
    void kill(Side& side) {
        side.disk->crash();
        stop(side);
        side.disk->restart();
    }

    /// The disk is gone with everything.
    void lose_state(Side& side) {
        stop(side);
        side.disk = std::make_unique<MemoryStorage>(world, random());
    }

    void wait(Duration duration) {
        StopSignal never;
        (void)world.run(sleep_for(world, world, duration, never));
    }

    LivingSource& source(const std::string& flow) { return *sources_.at(flow); }

    FlowStatus flow(Side& side, const std::string& name) {
        for (auto& flow : side.agent->status().flows) {
            if (flow.name == name) {
                return flow;
            }
        }
        ADD_FAILURE() << name;
        return {};
    }

    std::vector<Row> target_rows(const std::string& flow) {
        return target_database.rows(source(flow).schema().table);
    }

    /// Whether the target is exactly the source at the target's own checkpoint.
    void expect_exact(const std::string& flow) {
        const auto stream = flow_stream(flow, "city", "province");
        const auto& state = target_database.committed();
        const auto checkpoint = state.checkpoints.find(stream);
        const auto table = state.table_states.find({stream, source(flow).schema().table});
        if (checkpoint == state.checkpoints.end() || table == state.table_states.end() ||
            table->second.status != drivers::TableStatus::Live) {
            return;
        }
        auto at = checkpoint->second.position;
        if (at.empty() || model::compare(at, table->second.joined_at) < 0) {
            at = table->second.joined_at;
        }
        EXPECT_EQ(target_rows(flow), source(flow).rows_at(at)) << flow << " at " << at.to_string();
    }

    /// What the transfer log of a side has of one kind, of the flow `persons`.
    std::map<StreamPoint, engine::HandOver> logged(Side& side, engine::HandOverKind kind) {
        std::map<StreamPoint, engine::HandOver> found;
        const auto visit = [&](const engine::LoggedHandOver& logged) {
            const auto& it = logged.hand_over;
            EXPECT_EQ(logged.node, side.config.node);
            EXPECT_FALSE(it.outcome);
            if (it.kind == kind && it.flow == "persons") {
                found[it.point] = it;
            }
        };
        const auto read =
            world.run(engine::read_transfer_log(*side.disk, "state/transfer-log", visit));
        EXPECT_TRUE(read && read->damage.empty());
        return found;
    }

    bool all_arrived() {
        return target_rows("persons") == source("persons").rows() &&
               target_rows("parcels") == source("parcels").rows();
    }

    /// Until everything has arrived, or so long.
    bool arrive(Duration most) {
        for (Duration waited{}; waited < most; waited += milliseconds(200)) {
            if (all_arrived()) {
                return true;
            }
            wait(milliseconds(200));
        }
        return false;
    }

    Result<std::unique_ptr<capture::DataSource>> source(
        const FlowConfig& flow, StopSignal& /*stop*/
    ) override {
        return sources_.at(flow.name)->open();
    }

    Task<Result<std::unique_ptr<drivers::TableReader>>> reader(
        const FlowConfig& /*flow*/, StopSignal& /*stop*/
    ) override {
        co_return Error(ErrorCode::Config, "nothing to compare");
    }

    Result<Target> target(const FlowConfig& /*flow*/, StopSignal& /*stop*/) override {
        Target target;
        target.database = std::make_unique<Forward>(target_database);
        target.structures = std::make_unique<NoStructures>();
        return target;
    }

    ManualWorld world;
    MemoryTransport network;
    ModelDatabase target_database;
    std::mt19937_64 random;
    Side city{*this, "city", 11};
    Side province{*this, "province", 12};

private:
    static constexpr uint16_t kPort = 7440;

    void add_flow(const std::string& name, uint64_t seed, engine::Custody custody) {
        static const auto key = crypto::PrivateKey::generate(crypto::KeyKind::Sm2);
        auto& source = *sources_.emplace(name, std::make_unique<LivingSource>(world, name, seed))
                            .first->second;
        target_database.create_table(source.target_table());
        FlowConfig flow;
        flow.name = name;
        flow.peer = "province";
        flow.tables = {"public.*"};
        flow.custody = custody;
        city.config.flows.push_back(flow);
        city.identity.receivers[name] = key->public_key();
        FlowConfig end;
        end.name = name;
        end.role = FlowRole::Target;
        end.peer = "city";
        province.config.flows.push_back(end);
        province.identity.wrapping = key;
    }

    static Task<void> run(Side& side) {
        side.ended = co_await side.agent->run(*side.stop);
        side.running = false;
    }

    std::map<std::string, std::unique_ptr<LivingSource>> sources_;
    TaskScope scope_;
};

// Spec
TEST(TwoAgentsTest, LoadFollowAndTurnGreenAtBothEnds) {
    TwoAgents all;
    for (int i = 0; i < 40; ++i) {
        all.source("persons").commit_random();
        all.source("parcels").commit_random();
    }
    all.start(all.city);
    all.wait(seconds(3));
    EXPECT_EQ(all.flow(all.city, "persons").green, false);
    EXPECT_EQ(all.city.agent->status().links.at(0).state, "waiting");
    all.start(all.province);
    ASSERT_TRUE(all.arrive(seconds(30)));
    for (int i = 0; i < 20; ++i) {
        all.source("persons").commit_random();
        all.wait(milliseconds(300));
    }
    ASSERT_TRUE(all.arrive(seconds(5)));
    all.wait(seconds(25));
    for (auto* side : {&all.city, &all.province}) {
        for (const auto* name : {"persons", "parcels"}) {
            const auto flow = all.flow(*side, name);
            EXPECT_EQ(flow.state, "following") << name;
            EXPECT_EQ(flow.moving, Moving::Yes) << name;
            EXPECT_TRUE(flow.green) << name;
            ASSERT_TRUE(flow.lag_seconds) << name;
            EXPECT_LT(*flow.lag_seconds, 13);
            EXPECT_EQ(flow.lag_bytes, 0U);
            EXPECT_FALSE(flow.last_error) << flow.last_error->to_string();
        }
        EXPECT_EQ(side->agent->status().links.at(0).state, "up");
    }
    EXPECT_EQ(all.target_database.counters().unlocked_commits, 0U);
}

TEST(TwoAgentsTest, AFlowThatStandsStillIsNotCalledMoving) {
    TwoAgents all;
    all.start(all.city);
    all.start(all.province);
    all.wait(seconds(30));
    EXPECT_EQ(all.flow(all.city, "persons").moving, Moving::Yes);
    // The connection swallows everything without a word, and nobody can connect anew.
    all.network.swallow();
    all.network.set_refusing(true);
    all.wait(seconds(120));
    EXPECT_EQ(all.flow(all.city, "persons").moving, Moving::No);
    EXPECT_EQ(all.flow(all.province, "persons").moving, Moving::No);
    EXPECT_FALSE(all.flow(all.city, "persons").green);
    EXPECT_GT(*all.flow(all.province, "persons").lag_seconds, 100);
    EXPECT_GT(all.flow(all.city, "persons").lag_bytes, 0U);
    EXPECT_TRUE(all.city.agent->status().links.at(0).last_error);
    all.network.set_refusing(false);
    all.wait(seconds(60));
    EXPECT_TRUE(all.flow(all.city, "persons").green);
    EXPECT_TRUE(all.flow(all.province, "persons").green);
}

class TwoAgentsStory : public ::testing::TestWithParam<int> {};

// Spec
// Source: rules 2, 8, 17
TEST_P(TwoAgentsStory, CutsCrashesAndFaultsLeaveTheTargetExact) {
    const auto seed = static_cast<uint64_t>(GetParam());
    TwoAgents all(seed, seed % 2 == 0 ? engine::Custody::Hop : engine::Custody::End);
    const auto chance = [&all](uint64_t of) { return all.random() % of == 0; };
    for (int i = 0; i < 30; ++i) {
        all.source("persons").commit_random();
    }
    all.start(all.city);
    all.start(all.province);
    all.source("persons").lost = 20;
    all.target_database.faults = {
        .connect_refused = 20, .lost = 3, .serialization = 5, .resource = 2, .commit_unknown = 20
    };
    for (int step = 0; step < 150; ++step) {
        for (auto commits = all.random() % 4; commits > 0; --commits) {
            all.source(chance(3) ? "parcels" : "persons").commit_random();
        }
        if (chance(6)) {
            all.network.cut();
        }
        if (chance(10)) {
            all.network.cut_after(all.random() % 20'000);
        }
        if (chance(12)) {
            auto& side = chance(2) ? all.city : all.province;
            chance(3) ? all.stop(side) : all.kill(side);
            all.wait(milliseconds(all.random() % 3000));
            all.start(side);
        }
        all.wait(milliseconds(all.random() % 1500));
        all.expect_exact("persons");
        all.expect_exact("parcels");
        ASSERT_FALSE(HasFailure()) << "step " << step;
    }
    all.source("persons").lost = 0;
    all.target_database.faults = {};
    all.network.cut_after(UINT64_MAX);
    const bool arrived = all.arrive(seconds(400));
    ASSERT_TRUE(arrived) << to_text(all.city.agent->status(), Language::English)
                         << to_text(all.province.agent->status(), Language::English);
    all.wait(seconds(30));
    EXPECT_TRUE(all.flow(all.city, "persons").green);
    EXPECT_TRUE(all.flow(all.province, "persons").green);
    EXPECT_EQ(all.flow(all.province, "persons").divergences, 0U);
    EXPECT_EQ(all.target_database.counters().unlocked_commits, 0U);
}

INSTANTIATE_TEST_SUITE_P(Seeds, TwoAgentsStory, ::testing::Range(1, 101));

TEST(TwoAgentsTest, ARefusedRowStopsItsFlowAloneUntilAnOperatorSaysGoOn) {
    TwoAgents all;
    all.start(all.city);
    all.start(all.province);
    all.source("persons").insert(1, "good");
    ASSERT_TRUE(all.arrive(seconds(30)));
    all.target_database.refusals.push_back(
        {all.source("persons").schema().table, Row{"2", "bad"}, ErrorCode::DbValue}
    );
    all.source("persons").insert(2, "bad");
    all.wait(seconds(100));
    auto failed = all.flow(all.province, "persons");
    EXPECT_EQ(failed.state, "failed");
    EXPECT_TRUE(failed.needs_operator);
    ASSERT_TRUE(failed.last_error);
    EXPECT_TRUE(failed.last_error->is(ErrorCode::DbValue)) << failed.last_error->to_string();
    EXPECT_EQ(all.flow(all.city, "persons").moving, Moving::No);

    all.source("parcels").insert(7, "still");
    all.wait(seconds(20));
    EXPECT_EQ(all.target_rows("parcels"), all.source("parcels").rows());
    EXPECT_TRUE(all.flow(all.province, "parcels").green);

    EXPECT_FALSE(all.province.agent->retry("nothing"));
    all.target_database.refusals.clear();
    ASSERT_TRUE(all.province.agent->retry("persons"));
    EXPECT_TRUE(all.arrive(seconds(90)));
    all.wait(seconds(30));
    EXPECT_TRUE(all.flow(all.province, "persons").green);
}

TEST(TwoAgentsTest, ADiskThatFailsIsOpenedAgain) {
    for (uint64_t n = 1; n <= 40; n += 3) {
        TwoAgents all(n);
        all.start(all.city);
        all.start(all.province);
        ASSERT_TRUE(all.arrive(seconds(30)));
        auto& side = n % 2 == 0 ? all.city : all.province;
        side.disk->fail_change(n);
        for (int i = 0; i < 30; ++i) {
            all.source("persons").commit_random();
            all.wait(milliseconds(300));
        }
        EXPECT_TRUE(side.disk->failed());
        ASSERT_TRUE(all.arrive(seconds(100)))
            << n << to_text(all.city.agent->status(), Language::English)
            << to_text(all.province.agent->status(), Language::English);
        EXPECT_TRUE(side.running);
    }
}

// Source: rules 1, 8
TEST(TwoAgentsTest, ALostStateFolderOfEitherSideLosesNoRow) {
    for (uint64_t seed = 1; seed <= 12; ++seed) {
        TwoAgents all(seed, seed % 2 == 0 ? engine::Custody::Hop : engine::Custody::End);
        all.start(all.city);
        all.start(all.province);
        all.source("persons").insert(1, "first");
        ASSERT_TRUE(all.arrive(seconds(30)));
        for (int i = 0; i < 20; ++i) {
            all.source("persons").commit_random();
            all.wait(milliseconds(all.random() % 200));
        }
        auto& side = seed % 3 == 0 ? all.city : all.province;
        all.lose_state(side);
        all.source("persons").commit_random();
        all.wait(seconds(5));
        all.start(side);
        all.source("persons").commit_random();
        const bool arrived = all.arrive(seconds(200));
        ASSERT_TRUE(arrived) << seed << to_text(all.city.agent->status(), Language::English)
                             << to_text(all.province.agent->status(), Language::English);
        all.expect_exact("persons");
    }
}

// Source: rules 1
TEST(TwoAgentsTest, AStreamThatStandsStillGoesOnInItsEpochAfterARestart) {
    for (uint64_t seed = 1; seed <= 4; ++seed) {
        TwoAgents all(seed, seed % 2 == 0 ? engine::Custody::Hop : engine::Custody::End);
        for (auto* side : {&all.city, &all.province}) {
            side->config.trail.segment_bytes = 64U << 10U;
            side->config.trail.grace = seconds(1);
        }
        all.source("persons").beat = std::chrono::hours(1000);
        all.start(all.city);
        all.start(all.province);
        all.source("persons").insert(1, "alone");
        ASSERT_TRUE(all.arrive(seconds(30)));
        // The other stream fills segments, until those with this one's packets are removed.
        for (int i = 0; i < 400; ++i) {
            all.source("parcels").commit_random();
            all.wait(milliseconds(100));
        }
        ASSERT_TRUE(all.arrive(seconds(30)));
        ASSERT_FALSE(all.city.disk->content("state/trail/segment-000000000001"));

        all.stop(all.city);
        all.start(all.city);
        all.wait(seconds(10));
        all.source("persons").insert(2, "again");
        ASSERT_TRUE(all.arrive(seconds(60)))
            << to_text(all.city.agent->status(), Language::English);
        EXPECT_EQ(all.flow(all.city, "persons").stages.at(0).point.epoch, Epoch{1}) << seed;
    }
}

// Source: rules 8, 9
TEST(TwoAgentsTest, DamageThatIsMendedHasCostNoAcknowledgedPacket) {
    TwoAgents all(5, engine::Custody::Hop);
    all.source("persons").beat = all.source("parcels").beat = std::chrono::hours(1000);
    all.source("persons").insert(99, "first");
    all.start(all.city);
    all.start(all.province);
    ASSERT_TRUE(all.arrive(seconds(30)));
    all.target_database.faults.connect_refused = all.target_database.faults.lost = 1000;
    for (int i = 0; i < 6; ++i) {
        all.source("persons").insert(i, "held and not applied");
        all.wait(seconds(1));
    }
    all.stop(all.city);
    all.stop(all.province);
    all.start(all.province);
    all.wait(seconds(5));
    const std::string segment = "state/trail/segment-000000000001";
    const auto last_byte = all.province.disk->content(segment)->size() - 1;
    all.province.disk->flip(segment, last_byte);
    all.target_database.faults = {};
    all.wait(seconds(100));
    all.province.disk->flip(segment, last_byte);
    all.wait(seconds(100));
    // The sender is away: what the target has now comes from the disk.
    EXPECT_EQ(all.target_rows("persons").size(), 7U);
    all.start(all.city);
    EXPECT_TRUE(all.arrive(seconds(60)));
}

// Spec
TEST(TwoAgentsTest, TheTransferLogsOfBothEndsTellEveryHandOver) {
    TwoAgents all;
    all.source("persons").commit_random();
    all.start(all.city);
    all.start(all.province);
    ASSERT_TRUE(all.arrive(seconds(30)));
    for (int i = 0; i < 30; ++i) {
        all.source("persons").commit_random();
        all.wait(milliseconds(100));
    }
    all.wait(seconds(30));
    all.kill(all.province);
    all.stop(all.city);

    using engine::HandOverKind;
    const auto captured = all.logged(all.city, HandOverKind::Captured);
    EXPECT_GT(captured.size(), 10U);
    uint32_t transactions = 0;
    for (const auto& [point, packet] : captured) {
        transactions += packet.counts.transactions;
        EXPECT_GT(packet.bytes, 0U);
    }
    EXPECT_EQ(transactions, 30U);
    const auto same =
        [&captured](std::map<StreamPoint, engine::HandOver> later, HandOverKind kind) {
            ASSERT_EQ(later.size(), captured.size()) << to_text(kind);
            for (auto& [point, packet] : later) {
                packet.kind = HandOverKind::Captured;
                packet.peer = "province";
                EXPECT_EQ(packet, captured.at(point)) << to_text(kind);
            }
        };
    same(all.logged(all.city, HandOverKind::Sent), HandOverKind::Sent);
    same(all.logged(all.province, HandOverKind::Held), HandOverKind::Held);
    same(all.logged(all.province, HandOverKind::Applied), HandOverKind::Applied);
    const auto& last = *captured.rbegin();
    for (const auto kind : {HandOverKind::Held, HandOverKind::Applied}) {
        const auto acknowledged = all.logged(all.city, kind);
        ASSERT_FALSE(acknowledged.empty());
        EXPECT_EQ(acknowledged.rbegin()->first, last.first);
        EXPECT_EQ(acknowledged.rbegin()->second.digest, last.second.digest);
    }
    EXPECT_FALSE(all.logged(all.province, HandOverKind::Loaded).empty());
}

// Spec: R-32
TEST(TwoAgentsTest, AnUnknownNodeIsNotLetIn) {
    TwoAgents all;
    all.province.config.flows.clear();
    all.start(all.city);
    all.start(all.province);
    all.wait(seconds(5));
    const auto links = all.city.agent->status().links;
    ASSERT_EQ(links.size(), 1U);
    ASSERT_TRUE(links[0].last_error);
    EXPECT_TRUE(links[0].last_error->is(ErrorCode::LinkUnknownPeer));
}

TEST(TwoAgentsTest, CustodyDecidesWhatFreesTheSource) {
    for (const auto custody : {engine::Custody::Hop, engine::Custody::End}) {
        TwoAgents all(3, custody);
        all.start(all.city);
        all.start(all.province);
        all.wait(seconds(30));
        // The target takes nothing for a while, and the next hop holds all.
        all.target_database.faults.connect_refused = 1000;
        all.target_database.faults.lost = 1000;
        const auto before = all.source("persons").end();
        for (int i = 0; i < 10; ++i) {
            all.source("persons").commit_random();
        }
        const auto after = all.source("persons").end();
        all.wait(seconds(25));
        const auto& freed = all.source("persons").confirmed();
        EXPECT_EQ(model::compare(freed, after) >= 0, custody == engine::Custody::Hop);
        all.target_database.faults = {};
        EXPECT_TRUE(all.arrive(seconds(100)));
        all.wait(seconds(25));
        EXPECT_TRUE(model::compare(all.source("persons").confirmed(), after) >= 0);
        EXPECT_TRUE(model::compare(before, after) < 0);
    }
}

TEST(TwoAgentsTest, ASecondAgentOnOneStateFolderIsRefused) {
    TwoAgents all;
    all.start(all.city);
    all.wait(seconds(1));
    Agent second(
        {all.world, all.world, all.world, *all.city.disk, all.network, all.city.authenticator, all},
        all.city.config,
        all.city.identity,
        "1"
    );
    StopSignal stop;
    const auto ended = all.world.run(second.run(stop));
    ASSERT_FALSE(ended);
    EXPECT_TRUE(ended.error().is(ErrorCode::StorageLocked));
}

}  // namespace
}  // namespace qiao::agent
