#include "qiao/agent/two_agents_test.h"

namespace qiao::agent {
namespace {

using namespace testing;

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

// Each start says something of its own, which must not look like rows that move. Spec: R-50
TEST(TwoAgentsTest, AFlowThatIsOnlyStartedAgainAndAgainIsNotCalledMoving) {
    TwoAgents all;
    all.start(all.city);
    all.start(all.province);
    all.source("persons").insert(1, "first");
    ASSERT_TRUE(all.arrive(seconds(30)));
    all.wait(seconds(30));
    EXPECT_TRUE(all.flow(all.province, "persons").green);
    all.stop(all.city);
    all.source("persons").insert(2, "lost on the way");
    all.source("persons").forget();
    all.source("persons").hesitates = seconds(3);
    all.start(all.city);
    for (int i = 0; i < 10; ++i) {
        all.wait(seconds(60));
        for (auto* side : {&all.city, &all.province}) {
            EXPECT_EQ(all.flow(*side, "persons").moving, Moving::No) << i;
            EXPECT_FALSE(all.flow(*side, "persons").green) << i;
        }
    }
    for (int i = 0; i < 100; ++i) {
        all.wait(seconds(1));
        const auto told = all.flow(all.city, "persons").last_error;
        EXPECT_TRUE(told && told->is(ErrorCode::CapturePositionLost)) << i;
    }
    EXPECT_TRUE(all.flow(all.province, "parcels").green);
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

// Source: rules 8
TEST(TwoAgentsTest, ATargetPutBackFurtherThanAnybodyKeepsIsToldAndGoneOnWithWhenAsked) {
    using drivers::TableStatus;
    for (const bool before_the_load : {false, true}) {
        TwoAgents all(5, engine::Custody::Hop);
        for (auto* side : {&all.city, &all.province}) {
            side->config.trail.segment_bytes = 64U << 10U;
            side->config.trail.grace = seconds(1);
        }
        auto backup = all.target_database.committed();
        all.start(all.city);
        all.start(all.province);
        all.source("persons").insert(1, "first");
        ASSERT_TRUE(all.arrive(seconds(30)));
        if (!before_the_load) {
            backup = all.target_database.committed();
        }
        for (int i = 0; i < 400; ++i) {
            all.source("persons").commit_random();
            all.wait(milliseconds(100));
        }
        ASSERT_TRUE(all.arrive(seconds(30)));
        for (auto* side : {&all.city, &all.province}) {
            ASSERT_FALSE(side->disk->content("state/trail/segment-000000000001"));
        }

        // The source's agent runs on meanwhile.
        all.stop(all.province);
        all.target_database.restore(backup);
        all.start(all.province);
        all.wait(seconds(60));
        const auto told = all.flow(all.city, "persons").last_error;
        ASSERT_TRUE(told && told->is(ErrorCode::EngineCustodyWentBack))
            << to_text(all.city.agent->status(), Language::English)
            << to_text(all.province.agent->status(), Language::English);
        EXPECT_FALSE(all.flow(all.city, "persons").green);

        VerifyRequest request;
        request.flow = "persons";
        request.reopen = true;
        ASSERT_TRUE(all.city.agent->verify(std::move(request)));
        all.wait(seconds(120));
        all.source("persons").insert(1'000'000, "later");
        all.wait(seconds(120));
        const auto& states = all.target_database.committed().table_states;
        const auto& table = all.source("persons").schema().table;
        const auto state = states.find({flow_stream("persons", "city", "province"), table});
        ASSERT_NE(state, states.end()) << to_text(all.city.agent->status(), Language::English)
                                       << to_text(all.province.agent->status(), Language::English);
        // What lay there already is unproven until it was compared; a load joins the new epoch.
        EXPECT_EQ(
            state->second.status, before_the_load ? TableStatus::Live : TableStatus::Unproven
        );
        if (before_the_load) {
            EXPECT_EQ(all.target_rows("persons"), all.source("persons").rows());
        }
    }
}

// Source: rules 2, 8
TEST(TwoAgentsTest, ASourceWhoseCopyWentOnBesideItIsToldAndGoesOnWhenAsked) {
    TwoAgents all(5);
    all.start(all.city);
    all.start(all.province);
    all.source("persons").insert(1, "first");
    ASSERT_TRUE(all.arrive(seconds(30)));

    TwoAgents::Side copy(all, "city", 13);
    copy.config = all.city.config;
    copy.identity = all.city.identity;
    copy.disk = all.city.disk->copy(13);
    all.start(copy);  // the newer one has the link for a moment
    all.source("persons").insert(2, "second");
    all.wait(seconds(10));
    all.stop(copy);
    all.source("persons").insert(3, "third");
    all.wait(seconds(60));
    const auto told = all.flow(all.city, "persons").last_error;
    ASSERT_TRUE(told && told->is(ErrorCode::EngineForked))
        << to_text(all.city.agent->status(), Language::English);
    EXPECT_FALSE(all.flow(all.city, "persons").green);

    for (const char* flow : {"persons", "parcels"}) {
        VerifyRequest request;
        request.flow = flow;
        request.reopen = true;
        ASSERT_TRUE(all.city.agent->verify(std::move(request)));
        all.wait(seconds(60));
    }
    EXPECT_TRUE(all.all_arrived()) << to_text(all.city.agent->status(), Language::English);
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

// Spec
TEST(TwoAgentsTest, NewSettingsAndKeysUnderLoadLoseNothing) {
    for (uint64_t seed = 1; seed <= 8 && !::testing::Test::HasFailure(); ++seed) {
        SCOPED_TRACE(seed);
        TwoAgents all(seed);
        all.start(all.city);
        all.start(all.province);
        all.wait(seconds(20));
        const auto reload = [&all](TwoAgents::Side& side) {
            const auto done = all.world.run(side.agent->reload());
            EXPECT_TRUE(done) << done.error().to_string();
        };
        for (int round = 0; round < 12; ++round) {
            all.source("persons").commit_random();
            all.source("parcels").commit_random();
            all.wait(milliseconds(static_cast<int64_t>(all.random() % 3000)));
            auto& keys = all.province.identity.wrapping;
            if (all.random() % 2 == 0) {
                // The receiver first: it reads by both, then the sender seals for the new one.
                keys.insert(keys.begin(), crypto::PrivateKey::generate(crypto::KeyKind::Sm2));
                reload(all.province);
                for (auto& [flow, receiver] : all.city.identity.receivers) {
                    receiver = keys.front()->public_key();
                }
            }
            reload(all.random() % 2 == 0 ? all.city : all.province);
        }
        reload(all.city);
        EXPECT_TRUE(all.arrive(seconds(120)));
        for (const auto* flow : {"persons", "parcels"}) {
            EXPECT_EQ(all.target_rows(flow), all.source(flow).rows()) << flow;
        }
        // What was sealed before the last key was applied long ago.
        all.province.identity.wrapping.resize(1);
        reload(all.province);
        all.source("persons").commit_random();
        EXPECT_TRUE(all.arrive(seconds(120)));
        all.wait(seconds(25));
        EXPECT_TRUE(all.flow(all.province, "persons").green);
    }
}

// Spec: R-01
TEST(TwoAgentsTest, TablesThatAreThereAlreadyAreFollowedWithoutALoad) {
    TwoAgents all(5);
    for (auto& flow : all.city.config.flows) {
        flow.existing = true;
    }
    all.start(all.city);
    all.start(all.province);
    all.wait(seconds(20));
    for (int round = 0; round < 20; ++round) {
        all.source("persons").commit_random();
        all.source("parcels").commit_random();
        all.wait(milliseconds(static_cast<int64_t>(all.random() % 1000)));
        if (round % 7 == 3) {
            auto& side = all.random() % 2 == 0 ? all.city : all.province;
            all.kill(side);
            all.start(side);
        }
    }
    EXPECT_TRUE(all.arrive(seconds(120)));
    EXPECT_EQ(all.logged(all.province, engine::HandOverKind::Loaded).size(), 0U);
    for (const auto& [key, state] : all.target_database.committed().table_states) {
        EXPECT_EQ(state.status, drivers::TableStatus::Unproven) << key.second.to_string();
    }
    EXPECT_FALSE(all.flow(all.province, "persons").green) << "not before it was compared";
}

TEST(TwoAgentsTest, SettingsByWhichItCannotListenAreTakenBack) {
    TwoAgents all;
    all.start(all.province);
    all.wait(seconds(1));
    const Endpoint taken{"*", 7441};
    const auto other = all.network.listen(taken);
    ASSERT_TRUE(other);
    all.province.config.listen = taken;
    ASSERT_TRUE(all.world.run(all.province.agent->reload()));
    all.wait(seconds(1));
    EXPECT_TRUE(all.province.running);
    ASSERT_TRUE(all.province.agent->status().reload_refused);
    EXPECT_TRUE(all.province.agent->status().reload_refused->is(ErrorCode::Config));
    EXPECT_NE(all.province.agent->status().listening, "");
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
        std::make_shared<Settings>(all.city.config, all.city.identity),
        "1"
    );
    StopSignal stop;
    const auto ended = all.world.run(second.run(stop));
    ASSERT_FALSE(ended);
    EXPECT_TRUE(ended.error().is(ErrorCode::StorageLocked));
}

}  // namespace
}  // namespace qiao::agent
