#include "qiao/common/async/sleep.h"
#include "qiao/trail/trail_world_test.h"

#include <algorithm>

/// Who holds back what, and what gives way when the disk budget is used up.
namespace qiao::trail {
namespace {

using Lines = std::vector<std::string>;

struct RetentionWorld : TrailWorld {
    explicit RetentionWorld(uint64_t seed = 1) : TrailWorld(seed) {
        options.grace = std::chrono::hours(24);
        open();
    }

    Status enlist(uint8_t stream, const std::string& name, StreamPoint released = {}) {
        return world.run(trail->register_consumer(stream_id(stream), name, released));
    }

    Status release(uint8_t stream, const std::string& name, uint64_t sequence) {
        return trail->release(stream_id(stream), name, at(1, sequence));
    }

    Status revoke(uint8_t stream, const std::string& name) {
        return world.run(trail->revoke(stream_id(stream), name));
    }

    /// Runs what is ready, without letting hours pass.
    void settle() { pass(std::chrono::milliseconds(1)); }

    void pass(Duration duration) {
        StopSignal never;
        must(world.run(sleep_for(world, world, duration, never)));
    }

    ConsumerState state(uint8_t stream, const std::string& name) {
        const auto consumers = trail->consumers(stream_id(stream));
        return std::ranges::find(consumers, name, &Consumer::name)->state;
    }
};

TEST(TrailRetention, RemovesWhatEveryConsumerReleasedOnceTheGraceHasPassed) {
    RetentionWorld world;
    world.must(world.enlist(1, "a"));
    world.must(world.enlist(1, "b"));
    world.fill(1, 1, 300);
    world.sync();
    const auto segments = world.trail->status().segments;
    world.must(world.release(1, "a", 300));
    world.pass(std::chrono::hours(48));
    EXPECT_EQ(world.trail->status().segments, segments);
    world.must(world.release(1, "b", 150));
    world.pass(std::chrono::hours(23));
    EXPECT_EQ(world.trail->status().segments, segments);
    world.pass(std::chrono::hours(2));
    EXPECT_LT(world.trail->status().segments, segments);
    EXPECT_EQ(world.count(1, at(1, 150)), 150U);
    EXPECT_EQ(world.read(1), Lines{"trail.gone"});
    EXPECT_EQ(code_of(world.world.run(world.trail->find(stream_id(1), at(1, 1)))), "trail.gone");
    world.reopen();
    EXPECT_EQ(world.trail->recovery().damage, std::vector<Damage>{});
    EXPECT_EQ(world.count(1, at(1, 150)), 150U);
    EXPECT_GT(world.trail->held_after(stream_id(1)), at(1, 100));
}

TEST(TrailRetention, AStreamThatNobodyAskedForKeepsEverything) {
    RetentionWorld world;
    world.must(world.enlist(2, "other"));
    world.fill(1, 1, 100);
    world.fill(2, 1, 100);
    world.sync();
    world.must(world.release(2, "other", 100));
    world.pass(std::chrono::hours(100));
    EXPECT_EQ(world.count(1), 100U);
}

TEST(TrailRetention, NeverWaitsForARevokedConsumer) {
    RetentionWorld world;
    world.must(world.enlist(1, "gone"));
    world.fill(1, 1, 300);
    world.sync();
    world.must(world.revoke(1, "gone"));
    EXPECT_EQ(code_of(world.revoke(1, "gone")), "trail.unknown_consumer");
    EXPECT_EQ(code_of(world.release(1, "gone", 1)), "trail.unknown_consumer");
    world.pass(std::chrono::hours(25));
    EXPECT_EQ(world.trail->status().segments, 1U);
    EXPECT_EQ(world.trail->tail(stream_id(1)), at(1, 300));
}

TEST(TrailRetention, RemovesNothingWhileTheConsumersFileIsUnreadable) {
    RetentionWorld world;
    world.must(world.enlist(1, "a"));
    world.must(world.enlist(1, "b"));
    world.fill(1, 1, 300);
    world.must(world.close());
    world.storage.flip("state/trail/consumers", 20);
    world.open();
    ASSERT_EQ(world.trail->recovery().damage.size(), 1U);
    EXPECT_EQ(world.trail->recovery().damage[0].kind, Damage::Kind::Consumers);
    world.must(world.enlist(1, "a", at(1, 300)));
    world.pass(std::chrono::hours(100));
    EXPECT_EQ(world.count(1), 300U);
    world.must(world.enlist(1, "b", at(1, 200)));
    world.reopen();
    EXPECT_EQ(world.trail->recovery().damage, std::vector<Damage>{});
    world.pass(std::chrono::hours(25));
    EXPECT_EQ(world.read(1), Lines{"trail.gone"});
    EXPECT_EQ(world.count(1, at(1, 200)), 100U);
}

TEST(TrailRetention, ATailIsRememberedWhenAllItsRecordsAreGone) {
    RetentionWorld world;
    world.must(world.enlist(1, "a"));
    world.must(world.enlist(2, "a"));
    world.fill(1, 1, 5);
    world.fill(2, 1, 300);
    world.sync();
    world.must(world.release(1, "a", 5));
    world.must(world.release(2, "a", 300));
    world.pass(std::chrono::hours(25));
    world.reopen();
    EXPECT_EQ(world.trail->first(stream_id(1)), std::nullopt);
    EXPECT_EQ(world.trail->tail(stream_id(1)), at(1, 5));
    EXPECT_EQ(world.read(1, at(1, 5)), Lines{});
    world.fill(1, 6, 6);
    world.sync();
    EXPECT_EQ(world.count(1, at(1, 5)), 1U);
}

TEST(TrailRetention, ACursorThatIsOvertakenIsTold) {
    RetentionWorld world;
    world.must(world.enlist(1, "a"));
    world.fill(1, 1, 300);
    world.sync();
    auto cursor = world.trail->read(stream_id(1), {});
    EXPECT_TRUE(world.world.run(cursor.try_next()));
    world.must(world.release(1, "a", 300));
    world.pass(std::chrono::hours(25));
    EXPECT_EQ(code_of(world.world.run(cursor.try_next())), "trail.gone");
}

TEST(TrailConsumers, NeverGoBack) {
    RetentionWorld world;
    world.fill(1, 1, 10);
    world.sync();
    world.must(world.enlist(1, "a", at(1, 4)));
    EXPECT_EQ(code_of(world.release(1, "a", 3)), "trail.consumer_went_back");
    EXPECT_EQ(code_of(world.enlist(1, "a", at(1, 3))), "trail.consumer_went_back");
    EXPECT_EQ(code_of(world.release(1, "a", 11)), "trail.out_of_order");
    EXPECT_EQ(code_of(world.enlist(1, "b", at(1, 11))), "trail.out_of_order");
    world.must(world.release(1, "a", 4));
    world.must(world.release(1, "a", 9));
    world.reopen();
    EXPECT_EQ(world.trail->consumers(stream_id(1)), (std::vector{Consumer{"a", at(1, 9)}}));
}

TEST(TrailConsumers, AfterACrashAPointLagsBehindAtMost) {
    for (uint64_t seed = 1; seed <= 30; ++seed) {
        RetentionWorld world(seed);
        world.fill(1, 1, 10);
        world.sync();
        world.must(world.enlist(1, "a", at(1, 4)));
        world.must(world.release(1, "a", 9));
        world.pass(std::chrono::milliseconds(seed * 15));
        world.power_cycle_now();
        world.open();
        const auto point = world.trail->consumers(stream_id(1)).at(0).released;
        EXPECT_TRUE(point == at(1, 4) || point == at(1, 9));
        EXPECT_EQ(point == at(1, 9), seed * 15 > 200 || point == at(1, 9));
    }
}

Task<void> append_into(Trail& trail, StreamPoint point, std::optional<Status>& outcome) {
    const std::string payload(1000, 'x');
    outcome = co_await trail.append(stream_id(1), point, as_bytes(payload));
}

struct BudgetWorld : RetentionWorld {
    BudgetWorld() {
        must(close());
        options.disk_budget_bytes = 512U << 10U;
        open();
    }

    /// Appends until the budget is used up; gives the first sequence that has to wait.
    uint64_t fill_up(uint64_t from = 1) {
        for (auto sequence = from;; ++sequence) {
            outcome.reset();
            scope.spawn(append_into(*trail, at(1, sequence), outcome));
            settle();
            if (!outcome) {
                return sequence;
            }
            must(*outcome);
            sync();
        }
    }

    ~BudgetWorld() {
        (void)close();
        world.run(scope.join());
    }

    std::optional<Status> outcome;
    TaskScope scope{world};
};

// Spec: R-31
TEST(TrailBudget, PushesBackOnAStreamWithOneConsumerUntilItReleases) {
    BudgetWorld world;
    world.must(world.enlist(1, "only"));
    const auto waiting = world.fill_up();
    EXPECT_GT(waiting, 400U);
    EXPECT_EQ(world.trail->status().condition, Condition::PushingBack);
    EXPECT_LE(world.trail->status().disk_bytes, 512U << 10U);
    world.pass(std::chrono::hours(100));
    EXPECT_FALSE(world.outcome);
    EXPECT_EQ(world.count(1), waiting - 1);
    world.must(world.release(1, "only", 200));
    world.pass(std::chrono::seconds(1));
    ASSERT_TRUE(world.outcome);
    EXPECT_TRUE(*world.outcome);
    EXPECT_EQ(world.trail->status().condition, Condition::Open);
    EXPECT_EQ(world.count(1, at(1, 200)), waiting - 1 - 200);
}

TEST(TrailBudget, GivesUpGraceBeforeItPushesBack) {
    BudgetWorld world;
    world.must(world.enlist(1, "only"));
    for (uint64_t sequence = 1; sequence <= 3000; ++sequence) {
        world.fill(1, sequence, sequence);
        world.sync();
        world.must(world.release(1, "only", sequence));
        EXPECT_LE(world.trail->status().disk_bytes, 530U << 10U);
    }
    EXPECT_GT(world.trail->status().segments, 3U);
}

TEST(TrailBudget, CutsOffTheSlowestOfASharedStreamNeverTheSource) {
    BudgetWorld world;
    world.must(world.enlist(1, "slow"));
    world.must(world.enlist(1, "fast"));
    const auto waiting = world.fill_up();
    world.must(world.release(1, "fast", waiting - 1));
    world.pass(std::chrono::seconds(1));
    ASSERT_TRUE(world.outcome);
    EXPECT_TRUE(*world.outcome);
    EXPECT_EQ(world.state(1, "slow"), ConsumerState::CutOff);
    EXPECT_EQ(world.state(1, "fast"), ConsumerState::Active);
    EXPECT_EQ(code_of(world.release(1, "slow", 5)), "trail.cut_off");
    world.reopen();
    EXPECT_EQ(world.state(1, "slow"), ConsumerState::CutOff);
    EXPECT_EQ(code_of(world.enlist(1, "slow", at(1, 5))), "trail.gone");
    world.must(world.enlist(1, "slow", at(1, waiting - 1)));
    EXPECT_EQ(world.state(1, "slow"), ConsumerState::Active);
}

TEST(TrailBudget, TheLastConsumerOfASharedStreamIsNotCutOff) {
    BudgetWorld world;
    world.must(world.enlist(1, "a"));
    world.must(world.enlist(1, "b"));
    const auto waiting = world.fill_up();
    EXPECT_EQ(world.state(1, "a"), ConsumerState::Active);
    EXPECT_EQ(world.state(1, "b"), ConsumerState::Active);
    EXPECT_EQ(world.count(1), waiting - 1);
}

TEST(TrailBudget, CanRefuseInsteadOfWaiting) {
    BudgetWorld world;
    world.must(world.close());
    world.options.over_budget = OverBudget::Refuse;
    world.open();
    world.must(world.enlist(1, "only"));
    std::string refused = "ok";
    uint64_t sequence = 1;
    for (; refused == "ok"; ++sequence) {
        world.sync();
        refused = code_of(world.append(1, at(1, sequence), std::string(1000, 'x')));
    }
    EXPECT_EQ(refused, "trail.over_budget");
    world.must(world.release(1, "only", sequence - 2));
    world.must(world.append(1, at(1, sequence - 1), std::string(1000, 'x')));
}

TEST(TrailBudget, ClosingEndsAnAppendThatWaits) {
    BudgetWorld world;
    world.must(world.enlist(1, "only"));
    world.fill_up();
    world.must(world.close());
    world.world.run(world.scope.join());
    ASSERT_TRUE(world.outcome);
    EXPECT_EQ(code_of(*world.outcome), "trail.closed");
}

/// Random releases, removals, crashes and failing operations: what was not released is always
/// there.
TEST(TrailRetention, NeverRemovesWhatWasNotReleased) {
    for (uint64_t seed = 1; seed <= 100; ++seed) {
        SCOPED_TRACE(seed);
        RetentionWorld world(seed);
        world.must(world.close());
        world.options.grace = Duration(0);
        world.options.tail_cache_bytes = 0;
        std::map<uint8_t, uint64_t> released;
        std::map<uint8_t, uint64_t> durable;
        for (int life = 0; life < 5; ++life) {
            world.open();
            if (life == 0) {
                world.must(world.enlist(1, "a"));
                world.must(world.enlist(2, "a"));
            }
            EXPECT_EQ(world.trail->recovery().damage, std::vector<Damage>{});
            for (uint8_t stream = 1; stream <= 2; ++stream) {
                const auto tail = world.trail->tail(stream_id(stream)).value_or(StreamPoint{});
                const auto from = world.trail->consumers(stream_id(stream)).at(0).released;
                EXPECT_LE(from.sequence.value, released[stream]);
                EXPECT_GE(tail.sequence.value, durable[stream]);
                EXPECT_EQ(world.count(stream, from), tail.sequence.value - from.sequence.value);
                released[stream] = from.sequence.value;
                durable[stream] = tail.sequence.value;
            }
            if (world.world.number() % 2 == 0) {
                world.storage.crash_at_change(1 + world.world.number() % 60);
            } else {
                world.storage.fail_change(1 + world.world.number() % 60);
            }
            for (int step = 0; step < 60; ++step) {
                const auto stream = static_cast<uint8_t>(1 + world.world.number() % 2);
                auto sequence =
                    world.trail->tail(stream_id(stream)).value_or(StreamPoint{}).sequence.value;
                for (int i = 0; i < 10; ++i) {
                    (void)world.append(stream, at(1, ++sequence), std::string(1500, 'x'));
                }
                if (!world.world.run(world.trail->sync())) {
                    break;
                }
                durable[stream] = sequence;
                const auto to =
                    released[stream] + world.world.number() % (sequence - released[stream] + 1);
                world.must(world.release(stream, "a", to));
                released[stream] = to;
                world.pass(std::chrono::milliseconds(world.world.number() % 300));
            }
            if (world.storage.crashed()) {
                world.power_cycle_now();
            } else {
                (void)world.close();
            }
        }
    }
}

}  // namespace
}  // namespace qiao::trail
