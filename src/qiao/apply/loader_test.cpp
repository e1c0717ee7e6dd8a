#include "qiao/apply/loader.h"

#include "qiao/apply/history_test.h"
#include "qiao/apply/internal/table_states.h"
#include "qiao/common/async/scope.h"
#include "qiao/common/async/sleep.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace qiao::apply {
namespace {

using drivers::TableStatus;
using drivers::model_db::ModelDatabase;
using Fate = ModelDatabase::CommitFate;
using history::History;
using history::Row;
using history::table;

/// One applier with loads beside it, on one database.
class LoaderTest : public ::testing::Test, public ApplyObserver {
protected:
    explicit LoaderTest(uint64_t seed = 1)
        : history_(seed), world_(seed), database_(world_, world_, seed) {
        history_.create_in(database_);
        options_.stream = world_.make_id<StreamId>();
        open();
    }

    void open() {
        options_.owner = world_.make_id<Incarnation>();
        applier_ = std::make_unique<Applier>(database_, world_, world_, world_, options_, *this);
        EXPECT_TRUE(world_.run(applier_->open()));
    }

    void applied(const Applied&) override {}

    void diverged(const drivers::ErrorRow& row) override {
        refused_.push_back(row.key_text + " " + row.code);
    }

    void doubted() override { ++doubted_; }

    void lay_aside() {
        options_.policy = DivergencePolicy::RepairLater;
        options_.seal = [](const model::TransactionHead&, const model::Change&) {
            return Result<Bytes>(Bytes(1));
        };
        open();
    }

    LoadPart part(uint32_t generation, uint32_t number, uint32_t parts) {
        return {
            .schema = history_.shape("plain").schema,
            .generation = generation,
            .joined_at = joined_,
            .number = number,
            .parts = parts,
        };
    }

    /// Rows of the source at the join position that belong to the part, as tuples.
    Bytes rows_of(const LoadPart& part) {
        ByteWriter out;
        size_t index = 0;
        const auto tables = at_join();
        for (const auto& row : tables.at(table("plain"))) {
            if (index++ % part.parts == part.number) {
                model::TupleBuilder builder(static_cast<uint16_t>(row.size()));
                for (const auto& cell : row) {
                    builder.text(*cell);
                }
                out.append(std::move(builder).take());
            }
        }
        return std::move(out).take();
    }

    /// "Transactions with commit before it are in the load."
    history::Tables at_join() const {
        history::Tables tables = history_.at({});
        for (const auto& transaction : history_.transactions()) {
            if (compare(transaction.head.commit, joined_) == std::partial_ordering::less) {
                tables = transaction.after;
            }
        }
        return tables;
    }

    /// Starts over with a target that has other names.
    void rename(model::Mapping names) {
        renamed_ = std::make_unique<ModelDatabase>(world_, world_, 2);
        history_.create_in(*renamed_, names);
        options_.names = std::move(names);
        options_.owner = world_.make_id<Incarnation>();
        applier_ = std::make_unique<Applier>(*renamed_, world_, world_, world_, options_, *this);
        EXPECT_TRUE(world_.run(applier_->open()));
    }

    Task<Status> load(LoadPart part, Duration pause) {
        Loader loader(renamed_ ? *renamed_ : database_, *applier_);
        const auto rows = rows_of(part);
        QIAO_CO_CHECK(co_await loader.begin(part));
        StopSignal never;
        (void)co_await sleep_for(world_, world_, pause, never);
        // Cut anywhere between rows, as a link may.
        QIAO_CO_CHECK(co_await loader.rows({rows}));
        if (!withheld_.empty() && part.number == 0) {
            QIAO_CO_CHECK(
                co_await loader.rows({{}, false, Bytes(withheld_.begin(), withheld_.begin() + 5)})
            );
            QIAO_CO_CHECK(
                co_await loader.rows({{}, true, Bytes(withheld_.begin() + 5, withheld_.end())})
            );
        }
        QIAO_CO_TRY(const auto count, co_await loader.end());
        counted_ += count;
        co_return Status{};
    }

    Task<void> load_into(LoadPart part, Duration pause, std::optional<Status>& end) {
        end = co_await load(std::move(part), pause);
    }

    Task<void> run(StopSignal& stop, std::optional<Status>& end) {
        end = co_await applier_->run(stop);
    }

    /// Another process takes the stream over.
    void claim_elsewhere() {
        auto options = options_;
        options.owner = world_.make_id<Incarnation>();
        Applier other(database_, world_, world_, world_, options, *this);
        EXPECT_TRUE(world_.run(other.open()));
    }

    const drivers::TableState& saved() {
        return database_.committed().table_states.at({options_.stream, table("plain")});
    }

    History history_;
    testing::ManualWorld world_;
    ModelDatabase database_;
    std::unique_ptr<ModelDatabase> renamed_;
    ApplierOptions options_;
    std::unique_ptr<Applier> applier_;
    model::SourcePosition joined_;
    std::vector<std::string> refused_;  ///< what was laid aside
    Bytes withheld_;                    ///< of the first part
    uint64_t counted_ = 0;
    int doubted_ = 0;
};

// Spec: R-25
TEST_F(LoaderTest, LoadsAndEmptiesTheTableThatTheSourcesIsNamedAtTheTarget) {
    model::Mapping names;
    names.rename(table("plain"), {{"archive", "plain"}, {{"id", "number"}, {"note", "id"}}});
    rename(names);
    history_.commit_many(40, 10);
    joined_ = history_.transactions().back().head.end;
    const auto target = names.target_of(table("plain"));
    for (const uint32_t parts : {3U, 1U}) {
        const uint32_t generation = parts == 3 ? 1 : 3;
        // A session that breaks off leaves rows; the next one removes them.
        EXPECT_TRUE(world_.run(load(part(generation, 0, 4), {})));
        for (uint32_t number = 0; number < parts; ++number) {
            EXPECT_TRUE(world_.run(load(part(generation + 1, number, parts), {})));
        }
        EXPECT_EQ(renamed_->rows(target), at_join().at(table("plain")));
    }
    const auto& states = renamed_->committed().table_states;
    EXPECT_EQ(states.at({options_.stream, table("plain")}).status, TableStatus::Live);
}

TEST_F(LoaderTest, MakesATableLiveWithItsLastPart) {
    history_.commit_many(40, 10);
    joined_ = history_.transactions().back().head.end;
    for (uint32_t number = 0; number < 3; ++number) {
        EXPECT_TRUE(world_.run(load(part(1, number, 3), {})));
        EXPECT_EQ(saved().status, number == 2 ? TableStatus::Live : TableStatus::Loading);
    }
    EXPECT_EQ(database_.rows(table("plain")), at_join().at(table("plain")));
}

TEST_F(LoaderTest, RemovesTheRowsOfAnUnfinishedLoad) {
    history_.commit_many(40, 10);
    joined_ = history_.transactions().back().head.end;
    EXPECT_TRUE(world_.run(load(part(1, 0, 3), {})));
    EXPECT_FALSE(database_.rows(table("plain")).empty());
    // A new process does not know which parts are in the table.
    open();
    const auto joined = world_.run(load(part(1, 1, 3), {}));
    ASSERT_FALSE(joined);
    EXPECT_EQ(joined.error().code(), ErrorCode::ApplyLoadVoid);
    for (const uint32_t parts : {1U, 2U}) {
        for (uint32_t number = 0; number < parts; ++number) {
            EXPECT_TRUE(world_.run(load(part(1 + parts, number, parts), {})));
        }
        EXPECT_EQ(database_.rows(table("plain")), at_join().at(table("plain")));
        EXPECT_EQ(saved().status, TableStatus::Live);
    }
}

// Spec: R-11
TEST_F(LoaderTest, BeginsACarriedLoadOfOneGenerationAgainButNeverALiveOne) {
    history_.commit_many(40, 10);
    joined_ = history_.transactions().back().head.end;
    const auto carried = [this](uint32_t number, uint32_t parts) {
        auto one = part(7, number, parts);
        one.begins_again = true;
        return one;
    };
    for (const uint32_t parts : {3U, 1U, 2U}) {
        // Killed with some of its parts committed, however it was cut.
        EXPECT_TRUE(world_.run(load(carried(0, parts + 1), {})));
        EXPECT_EQ(saved().status, TableStatus::Loading);
        open();
    }
    for (uint32_t number = 0; number < 3; ++number) {
        EXPECT_TRUE(world_.run(load(carried(number, 3), {})));
    }
    EXPECT_EQ(saved().status, TableStatus::Live);
    EXPECT_EQ(database_.rows(table("plain")), at_join().at(table("plain")));
    open();
    const auto again = world_.run(load(carried(0, 1), {}));
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code(), ErrorCode::ApplyLoadVoid);
    EXPECT_EQ(database_.rows(table("plain")), at_join().at(table("plain")));
}

// Source: rules 4, 21
TEST_F(LoaderTest, LaysAsideWhatTheTargetRefusesAndWhatItsSourceWithheld) {
    history_.commit_many(40, 10);
    joined_ = history_.transactions().back().head.end;
    auto wanted = at_join().at(table("plain"));
    ASSERT_GT(wanted.size(), 4U);
    const Row refused = wanted[2];
    wanted.erase(wanted.begin() + 2);
    database_.refusals.push_back({table("plain"), refused});
    withheld_ = std::move(model::TupleBuilder(3).text("9999").withheld({70, 64}).text("x")).take();

    const auto stopped = world_.run(load(part(1, 0, 1), {}));
    ASSERT_FALSE(stopped) << "the policy is to stop";
    EXPECT_TRUE(stopped.error().is(ErrorCode::DbValue)) << stopped.error().to_string();
    EXPECT_TRUE(refused_.empty());

    lay_aside();
    for (uint32_t number = 0; number < 3; ++number) {
        EXPECT_TRUE(world_.run(load(part(2, number, 3), {})));
    }
    EXPECT_EQ(saved().status, TableStatus::Live);
    EXPECT_EQ(database_.rows(table("plain")), wanted);
    EXPECT_EQ(counted_, wanted.size() + 2) << "each row of the source counts";
    std::ranges::sort(refused_);
    std::vector<std::string> told{
        "id=" + *refused[0] + " drivers.value", "id=9999 packet.too_large"
    };
    std::ranges::sort(told);
    EXPECT_EQ(refused_, told);
    EXPECT_EQ(applier_->status().open_errors, 2U);
    EXPECT_EQ(database_.committed().errors.size(), 2U);

    // A newer load of the table makes what waits void.
    database_.refusals.clear();
    withheld_.clear();
    EXPECT_TRUE(world_.run(load(part(3, 0, 1), {})));
    EXPECT_EQ(database_.committed().errors.size(), 0U);
    EXPECT_EQ(database_.rows(table("plain")), at_join().at(table("plain")));
}

// After a restart of the target, until the source comes back: what is left out lies before the
// snapshot that is still to be taken.
TEST_F(LoaderTest, NothingIsAppliedToATableWhoseLoadWasAnnounced) {
    history_.commit_many(20, 5);
    Loader loader(database_, *applier_);
    ASSERT_TRUE(world_.run(loader.announce({table("plain")})));
    ASSERT_TRUE(world_.run(loader.announce({table("plain")})));
    EXPECT_EQ(saved().status, TableStatus::Pending);
    open();
    std::mt19937_64 random(7);
    for (auto& input : history_.inputs({}, random)) {
        ASSERT_TRUE(world_.run(applier_->input().send(std::move(input))));
    }
    applier_->input().close();
    StopSignal never;
    ASSERT_TRUE(world_.run(applier_->run(never)));
    EXPECT_EQ(database_.rows(table("plain")).size(), 0U);
    EXPECT_GT(applier_->status().rows_not_due, 0U);
}

// The target was started again between the announcement, with its snapshot, and the load.
TEST_F(LoaderTest, ALoadThatThisProcessWasNotToldOfIsVoid) {
    history_.commit_many(5, 5);
    Loader before(database_, *applier_);
    ASSERT_TRUE(world_.run(before.announce({table("plain")})));
    open();
    auto first = part(1, 0, 1);
    first.announced = true;
    Loader loader(database_, *applier_);
    const auto refused = world_.run(loader.begin(first));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), ErrorCode::ApplyLoadVoid);
    EXPECT_TRUE(refused.error().transient()) << "the source announces it again";
    Loader again(database_, *applier_);
    ASSERT_TRUE(world_.run(again.announce({table("plain")})));
    EXPECT_TRUE(world_.run(again.begin(first)));
    EXPECT_TRUE(world_.run(again.end()));
}

// Source: rules 13, 23
TEST_F(LoaderTest, AnAdoptedTableIsInDoubtAsOfTheCheckpoint) {
    history_.commit_many(20, 5);
    std::mt19937_64 random(7);
    for (auto& input : history_.inputs({}, random)) {
        ASSERT_TRUE(world_.run(applier_->input().send(std::move(input))));
    }
    applier_->input().close();
    StopSignal never;
    ASSERT_TRUE(world_.run(applier_->run(never)));
    Loader loader(database_, *applier_);
    ASSERT_TRUE(world_.run(loader.adopt(part(1, 0, 1))));
    EXPECT_EQ(saved().status, TableStatus::Unproven);
    EXPECT_FALSE(saved().doubted_at.empty());
    EXPECT_EQ(saved().doubted_at, applier_->checkpoint().position);
}

// What waited for it would wait for ever if no other load began; the next one's snapshot has it.
TEST_F(LoaderTest, NothingWaitsForALoadThatBrokeOffOnceNoneIsToCome) {
    history_.commit_many(20, 5);
    ASSERT_TRUE(world_.run(load(part(1, 0, 2), {})));
    std::mt19937_64 random(7);
    for (auto& input : history_.inputs({}, random)) {
        ASSERT_TRUE(world_.run(applier_->input().send(std::move(input))));
    }
    applier_->input().close();
    std::optional<Status> ended;
    StopSignal never;
    TaskScope beside(world_);
    beside.spawn(run(never, ended));
    Loader broken(database_, *applier_);
    ASSERT_TRUE(world_.run(broken.begin(part(1, 1, 2))));
    // Tuples of another table: the load ends by it.
    ASSERT_FALSE(world_.run(broken.rows({Bytes(3, std::byte{0xff})})));
    // Of the virtual clock: nothing else is left to happen.
    ASSERT_TRUE(world_.run(sleep_for(world_, world_, std::chrono::minutes(1), never)));
    ASSERT_FALSE(ended);
    applier_->expect_no_loads();
    world_.run(beside.join());
    EXPECT_TRUE(*ended) << ended->error().to_string();
    EXPECT_EQ(saved().status, TableStatus::Loading);
    EXPECT_GT(applier_->status().rows_not_due, 0U);
}

// It may be a carried one, whose rows end at a place of their own.
TEST_F(LoaderTest, WhatBelongsBehindALoadOfAnotherProcessWaitsForItThoughOneHereBrokeOff) {
    history_.commit_many(1, 1);
    const auto commit = history_.transactions().back().head.commit;
    TableStates states(world_);
    drivers::TableState loading{table("plain"), 1, TableStatus::Loading, joined_};
    states.set(loading);
    states.expect_none();
    EXPECT_EQ(states.due(loading.table, commit), Due::Contained);
    loading.generation = 2;
    states.load({loading});
    EXPECT_EQ(states.due(loading.table, commit), Due::AfterLoad);
}

// A target that is put back, or failed over, in the midst of a load keeps its checkpoint.
TEST_F(LoaderTest, ALoadOfWhichTheTargetLostAPartDoesNotEnd) {
    history_.commit_many(20, 10);
    joined_ = history_.transactions().back().head.end;
    const auto backup = database_.committed();
    ASSERT_TRUE(world_.run(load(part(1, 0, 2), {})));
    database_.restore(backup);
    const auto refused = world_.run(load(part(1, 1, 2), {}));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), ErrorCode::ApplyLoadVoid);
    EXPECT_TRUE(database_.rows(table("plain")).empty());
}

TEST_F(LoaderTest, ALoadThatTheTargetLostIsAskedForAgain) {
    history_.commit_many(20, 10);
    joined_ = history_.transactions().back().head.end;
    const auto backup = database_.committed();
    ASSERT_TRUE(world_.run(load(part(1, 0, 1), {})));
    ASSERT_EQ(saved().status, TableStatus::Live);
    database_.restore(backup);
    history_.commit_many(5, 10);
    std::mt19937_64 random(7);
    for (auto& input : history_.inputs({}, random)) {
        ASSERT_TRUE(world_.run(applier_->input().send(std::move(input))));
    }
    applier_->input().close();
    StopSignal never;
    (void)world_.run(applier_->run(never));
    open();
    applier_->input().close();
    (void)world_.run(applier_->run(never));
    EXPECT_EQ(saved().status, TableStatus::ResyncAsked);
    EXPECT_TRUE(database_.rows(table("plain")).empty());
}

// The load would be asked for again without end if nobody claimed the stream anew, which is what
// the end of run() brings about.
TEST_F(LoaderTest, AFencedLoadEndsAnApplierThatWaitsForChanges) {
    std::optional<Status> ended;
    StopSignal never;
    TaskScope beside(world_);
    beside.spawn(run(never, ended));
    ASSERT_TRUE(world_.run(load(part(1, 0, 1), {})));
    ASSERT_FALSE(ended);
    claim_elsewhere();
    for (int tries = 0; tries < 2; ++tries) {
        const auto refused = world_.run(load(part(2, 0, 1), {}));
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().code(), ErrorCode::ApplyFenced);
    }
    world_.run(beside.join());
    EXPECT_EQ(ended->error().code(), ErrorCode::ApplyFenced);
    EXPECT_EQ(doubted_, 1);
}

TEST_F(LoaderTest, AnApplierThatBeginsAfterAFencedLoadSaysSo) {
    claim_elsewhere();
    ASSERT_FALSE(world_.run(load(part(1, 0, 1), {})));
    EXPECT_EQ(doubted_, 1);
    StopSignal never;
    const auto ended = world_.run(applier_->run(never));
    ASSERT_FALSE(ended);
    EXPECT_EQ(ended.error().code(), ErrorCode::ApplyFenced);
}

TEST_F(LoaderTest, RefusesAPartThatComesTwice) {
    history_.commit_many(10, 10);
    joined_ = history_.transactions().back().head.end;
    EXPECT_TRUE(world_.run(load(part(1, 0, 2), {})));
    const auto twice = world_.run(load(part(1, 0, 2), {}));
    ASSERT_FALSE(twice);
    EXPECT_EQ(twice.error().code(), ErrorCode::ApplyLoadVoid);
}

// Goal: loads of random joins, interrupted and begun again beside the applier's work, with lost
// commits: each change of the table is in the load or applied after it, never both or neither.
// Spec: R-34
TEST(Loader, JoinsTheStreamExactly) {
    struct Run : LoaderTest {
        explicit Run(uint64_t seed) : LoaderTest(seed) {}

        void TestBody() override {}

        Task<void> feed() {
            std::mt19937_64 random(7);
            StopSignal never;
            for (auto& input : history_.inputs({}, random)) {
                if (!co_await applier_->input().send(std::move(input))) {
                    co_return;
                }
                (void)co_await sleep_for(world_, world_, std::chrono::milliseconds(5), never);
            }
            applier_->input().close();
        }

        Task<void> apply(StopSignal& stop, std::optional<Status>& end) {
            end = co_await applier_->run(stop);
        }

        /// Tries until a load comes through, each try a new generation at the same snapshot.
        Task<void> load_all(uint32_t parts, Duration after, bool& loaded) {
            StopSignal never;
            (void)co_await sleep_for(world_, world_, after, never);
            for (uint32_t generation = 1; !loaded; ++generation) {
                std::vector<std::optional<Status>> ends(parts);
                TaskScope beside(world_);
                for (uint32_t number = 0; number < parts; ++number) {
                    const auto pause = std::chrono::milliseconds(history_.random()() % 400);
                    beside.spawn(load_into(part(generation, number, parts), pause, ends[number]));
                }
                co_await beside.join();
                loaded =
                    std::ranges::all_of(ends, [](const auto& end) { return end->has_value(); });
                generations += 1;
            }
        }

        size_t generations = 0;
        bool waited = false;

        void go(uint64_t seed) {
            history_.commit_many(60, 10);
            const auto& transactions = history_.transactions();
            joined_ = transactions[history_.random()() % transactions.size()].head.commit;
            TaskScope scope(world_);
            std::optional<Status> end;
            bool loaded = false;
            // The load begins before the stream passes its join, or was announced before that.
            const bool late = seed % 2 == 1;
            if (late) {
                Loader announcing(database_, *applier_);
                ASSERT_TRUE(world_.run(announcing.announce({table("plain")})));
            }
            const auto pause = std::chrono::milliseconds(late ? history_.random()() % 600 : 0);
            scope.spawn(load_all(1 + seed % 3, pause, loaded));
            while (!late && applier_->table_states().empty()) {
                ASSERT_TRUE(world_.step());
            }
            database_.faults = {.lost = 3, .commit_unknown = 100};
            scope.spawn(apply(scope.stop(), end));
            scope.spawn(feed());
            while (!end || !loaded) {
                ASSERT_TRUE(world_.step());
                waited = waited || applier_->status().state == ApplyState::WaitingForLoad;
            }
            database_.faults = {};
            EXPECT_TRUE(*end) << end->error().to_string();
            world_.run(scope.join());
            world_.run();
            for (const auto& [name, rows] : history_.at(transactions.back().head.commit)) {
                EXPECT_EQ(database_.rows(name), rows) << name.to_string();
            }
            EXPECT_EQ(saved().status, TableStatus::Live);
        }
    };

    size_t again = 0;
    size_t waited = 0;
    for (uint64_t seed = 1; seed <= 40; ++seed) {
        SCOPED_TRACE(seed);
        Run run(seed);
        run.go(seed);
        again += run.generations - 1;
        waited += run.waited ? 1 : 0;
    }
    EXPECT_GT(again, 5U);
    EXPECT_GT(waited, 5U);
}

}  // namespace
}  // namespace qiao::apply
