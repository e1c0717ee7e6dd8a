#include "qiao/apply/applier.h"

#include "qiao/apply/history_test.h"
#include "qiao/apply/key.h"
#include "qiao/common/async/sleep.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace qiao::apply {
namespace {

using drivers::model_db::Faults;
using drivers::model_db::ModelDatabase;
using Fate = ModelDatabase::CommitFate;
using history::Bench;
using history::History;
using history::table;

model::SourcePosition last_position(const History& history) {
    return history.transactions().back().head.commit;
}

Bytes seal_nothing(const model::TransactionHead&, const model::Change&) { return Bytes(1); }

void keep_errors(Bench& bench) {
    bench.options.policy = DivergencePolicy::RepairLater;
    bench.options.seal = seal_nothing;
}

void expect_clean(Bench& bench) {
    bench.world().run();
    EXPECT_EQ(bench.target(), bench.expected());
    EXPECT_EQ(bench.database().counters().doubled_keys, 0U);
    EXPECT_EQ(bench.database().counters().unlocked_commits, 0U);
    EXPECT_EQ(bench.database().counters().unlocked_writes, 0U);
}

// Goal: without faults every committed transaction arrives once, whatever the grouping.
// Spec: R-22
TEST(Applier, BringsARandomHistoryWhole) {
    for (uint64_t seed = 1; seed <= 40; ++seed) {
        SCOPED_TRACE(seed);
        History history(seed);
        history.commit_many(60, 12);
        Bench bench(history, seed);
        bench.options.group_rows_max = 1 + seed * 7;
        const auto end = bench.run();
        EXPECT_TRUE(end) << end.error().to_string();
        EXPECT_EQ(bench.position(), last_position(history));
        expect_clean(bench);
        EXPECT_EQ(bench.last_status.divergences, 0U);
        EXPECT_EQ(bench.last_status.redone, 0U) << "a set was tried that could not be one";
    }
}

// Goal: faults of every kind and restarts at any time neither lose nor double a row. After each
// run the target holds exactly what the source had at the checkpoint.
// Spec
TEST(Applier, IsExactAtEveryRestartUnderFaults) {
    uint64_t rewinds = 0;
    for (uint64_t seed = 1; seed <= 60; ++seed) {
        SCOPED_TRACE(seed);
        History history(seed);
        history.commit_many(80, seed % 3 == 0 ? 40 : 8);
        Bench bench(history, seed);
        bench.options.group_rows_max = 40;
        if (seed % 3 == 0) {
            bench.options.transaction_bytes_max = 150;  // most fragments are streamed
        }
        bench.database().faults = Faults{
            .connect_refused = 50,
            .lost = 4,
            .serialization = 10,
            .resource = 4,
            .commit_unknown = 80
        };
        for (int restart = 0; restart < 25; ++restart) {
            const auto end = bench.run(std::chrono::milliseconds(1 + history.random()() % 1500));
            expect_clean(bench);
            ASSERT_TRUE(end || end.error().transient()) << end.error().to_string();
        }
        bench.database().faults = {};
        const auto end = bench.run();
        EXPECT_TRUE(end) << end.error().to_string();
        EXPECT_EQ(bench.position(), last_position(history));
        expect_clean(bench);
        rewinds += bench.rewinds;
    }
    EXPECT_GT(rewinds, 10U);
}

// Source: rules 19
TEST(Applier, GivesTheSameRowsFoldedAndUnfolded) {
    for (uint64_t seed = 100; seed < 130; ++seed) {
        SCOPED_TRACE(seed);
        History history(seed);
        history.commit_many(40, 30);
        Bench folded(history, seed);
        Bench plain(history, seed);
        plain.options.fold = false;
        EXPECT_TRUE(folded.run());
        EXPECT_TRUE(plain.run());
        expect_clean(folded);
        expect_clean(plain);
        EXPECT_EQ(folded.target(), plain.target());
        EXPECT_GT(folded.database().counters().set_writes, 0U);
        EXPECT_EQ(plain.database().counters().set_writes, 0U);
        EXPECT_LT(
            folded.database().counters().rows_written, plain.database().counters().rows_written
        );
    }
}

// Spec: R-21
TEST(Applier, SkipsTransactionsThatAreAlreadyApplied) {
    History history(5);
    history.commit_many(30, 6);
    Bench bench(history, 5);
    EXPECT_TRUE(bench.run());
    const auto rows = bench.database().counters().rows_written;
    EXPECT_TRUE(bench.run());
    EXPECT_EQ(bench.database().counters().rows_written, rows);
    EXPECT_GT(bench.last_status.skipped, 0U);
    EXPECT_EQ(bench.last_status.transactions, 0U);
    expect_clean(bench);
}

TEST(Applier, GroupsWhatWaitsAndNeverSplitsATransaction) {
    History history(6);
    history.commit_many(200, 5);
    Bench bench(history, 6);
    bench.options.group_rows_max = 100;
    EXPECT_TRUE(bench.run());
    size_t transactions = 0;
    size_t most = 0;
    for (const auto& report : bench.reports) {
        transactions += report.transactions;
        most = std::max(most, report.transactions);
        EXPECT_LT(report.rows, 100U + 5U);
    }
    EXPECT_EQ(transactions, 200U);
    EXPECT_GT(most, 5U);
    expect_clean(bench);
}

Task<Result<drivers::CheckpointRow>> open_and_forget(Applier& applier) {
    co_return co_await applier.open();
}

// Source: rules 17
TEST(Applier, FencedByANewerOwnerWritesNothing) {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        SCOPED_TRACE(seed);
        History history(seed);
        history.commit_many(60, 4);
        Bench bench(history, seed);
        bench.options.group_rows_max = 5;

        ApplierOptions other = bench.options;
        other.owner = bench.world().make_id<Incarnation>();

        struct : ApplyObserver {
            void applied(const Applied&) override {}
        } nobody;

        Applier newer(bench.database(), bench.world(), bench.world(), bench.world(), other, nobody);

        // The newer one takes over while the older is at work.
        struct Taker {
            static Task<void> take(Bench& bench, Applier& newer, uint64_t after) {
                while (bench.reports.size() < after) {
                    StopSignal never;
                    (void)co_await sleep_briefly(bench, never);
                }
                EXPECT_TRUE(co_await open_and_forget(newer));
            }

            static Task<Status> sleep_briefly(Bench& bench, StopSignal& never) {
                co_return co_await sleep_for(
                    bench.world(), bench.world(), std::chrono::milliseconds(1), never
                );
            }
        };

        TaskScope scope(bench.world());
        scope.spawn(Taker::take(bench, newer, 1 + seed % 5));
        const auto end = bench.run();
        ASSERT_FALSE(end);
        EXPECT_EQ(end.error().code(), ErrorCode::ApplyFenced);
        EXPECT_EQ(bench.last_status.state, ApplyState::Stopped);
        bench.world().run(scope.join());
        EXPECT_EQ(bench.position(), newer.checkpoint().position);
        expect_clean(bench);
    }
}

TEST(Applier, SettlesACommitWhoseReplyWasLost) {
    for (const auto fate : {Fate::UnknownCommitted, Fate::UnknownLost}) {
        History history(9);
        history.commit_many(12, 5);
        Bench bench(history, 9);
        bench.options.group_rows_max = 4;
        bench.database().next_commits = {fate, fate, Fate::Committed, fate};
        const auto end = bench.run();
        EXPECT_TRUE(end) << end.error().to_string();
        EXPECT_EQ(bench.position(), last_position(history));
        EXPECT_EQ(bench.last_status.transactions, 12U);
        expect_clean(bench);
    }
}

History with_rows() {
    History history(1);
    for (int i = 0; i < 10; ++i) {
        history.insert("plain", {std::to_string(i), "a", "long"});
    }
    history.commit();
    return history;
}

TEST(Applier, StopsAtAMissingRowAndNamesIt) {
    auto history = with_rows();
    Bench bench(history, 1);
    ASSERT_TRUE(bench.run());
    bench.database().foreign_clear(table("plain"));
    history.insert("customer", {"1", "x"});
    history.update("plain", "3", {"3", "b", "long"});
    history.commit();
    const auto end = bench.run();
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code(), ErrorCode::ApplyMissingRow);
    EXPECT_NE(end.error().detail().find("public.plain [id=3]"), std::string::npos)
        << end.error().detail();
    EXPECT_TRUE(bench.database().rows(table("customer")).empty());
}

// Never completed by a guess. Source: rules 13
TEST(Applier, StopsAtAnUpdateThatLeavesColumnsOutAndMeetsNoRow) {
    auto history = with_rows();
    Bench bench(history, 1);
    ASSERT_TRUE(bench.run());
    bench.database().foreign_clear(table("plain"));
    history.update("plain", "3", {"3", "b", "-"});
    history.commit();
    const auto end = bench.run();
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code(), ErrorCode::ApplyIncompleteRow);
}

TEST(Applier, StopsAtAnInsertThatMeetsARow) {
    auto history = with_rows();
    Bench bench(history, 1);
    bench.database().foreign_insert(table("plain"), {"4", "theirs", "x"});
    const auto end = bench.run();
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code(), ErrorCode::ApplyExistingRow);
    EXPECT_EQ(bench.database().rows(table("plain")).size(), 1U);
}

// Source: rules 21
TEST(Applier, LaysARefusedRowAsideAndLaterChangesBehindIt) {
    auto history = with_rows();
    Bench bench(history, 1);
    keep_errors(bench);
    bench.database().refusals.push_back({table("plain"), {"4", "a", "long"}});
    ASSERT_TRUE(bench.run());
    EXPECT_EQ(bench.database().rows(table("plain")).size(), 9U);
    ASSERT_EQ(bench.diverged_rows.size(), 1U);
    EXPECT_EQ(bench.diverged_rows[0].key_text, "id=4");
    EXPECT_EQ(bench.diverged_rows[0].code, "drivers.value");
    EXPECT_EQ(bench.last_status.open_errors, 1U);

    // A new process, and the value would be welcome now: order comes first.
    bench.database().refusals.clear();
    history.update("plain", "4", {"4", "b", "long"});
    history.update("plain", "4", {"44", "c", "long"});
    history.update("plain", "5", {"5", "b", "long"});
    history.commit();
    history.update("plain", "44", {"44", "d", "long"});
    history.erase("plain", "6");
    history.commit();
    ASSERT_TRUE(bench.run());
    std::vector<std::string> chain;
    for (const auto& row : bench.diverged_rows) {
        chain.push_back(row.key_text + " " + row.code);
    }
    EXPECT_EQ(
        chain,
        (std::vector<std::string>{
            "id=4 drivers.value",
            "id=4 apply.diverted",
            "id=4 apply.diverted",
            "id=44 apply.diverted"
        })
    );
    const auto rows = bench.database().rows(table("plain"));
    EXPECT_EQ(rows.size(), 8U);
    EXPECT_EQ(rows[4], (history::Row{"5", "b", "long"}));
    EXPECT_EQ(bench.last_status.open_errors, 2U);
}

size_t laid_aside(Bench& bench, const std::string& key_text) {
    const auto& errors = bench.database().committed().errors;
    return static_cast<size_t>(std::ranges::count_if(errors, [&](const auto& error) {
        return error.second.second.key_text == key_text;
    }));
}

/// Changes of a key from the first insert of the value `3` on, in the transaction where its chain
/// begins, and all later ones.
size_t changes_behind(Bench& bench, const History& history, const std::string& key_text) {
    const auto& errors = bench.database().committed().errors;
    const auto first = std::ranges::find_if(errors, [&](const auto& error) {
        return error.second.second.key_text == key_text;
    });
    size_t behind = 0;
    for (const auto& transaction : history.transactions()) {
        const auto order = compare(transaction.head.commit, first->second.second.position);
        if (order == std::partial_ordering::less) {
            continue;
        }
        for (const auto& change : transaction.changes) {
            const auto values = identifying_row(change).values();
            const bool refused = change.op == model::Op::Insert && as_text(values[1].bytes) == "3";
            const bool same = "id=" + std::string(as_text(values[0].bytes)) == key_text;
            behind += same && (behind != 0 || refused);
        }
    }
    return behind;
}

// Goal: with rows refused by chance, every row that is neither refused nor behind a refused one is
// right, and every change laid aside is in the error table once.
TEST(Applier, KeepsEveryOtherRowRightWhenRowsAreLaidAside) {
    for (uint64_t seed = 1; seed <= 30; ++seed) {
        SCOPED_TRACE(seed);
        History history(seed);
        for (int i = 0; i < 50; ++i) {
            for (int j = 0; j < 6; ++j) {
                const auto key = std::to_string(history.random()() % 30);
                const auto word = std::to_string(history.random()() % 6);
                history.erase("plain", key, true);
                history.insert("plain", {key, word, "long"});
            }
            history.commit();
        }
        Bench bench(history, seed);
        keep_errors(bench);
        bench.options.group_rows_max = 20;
        bench.options.fold = seed % 2 == 0;
        bench.database().faults = Faults{.lost = 3, .serialization = 10, .commit_unknown = 50};
        for (int key = 0; key < 30; key += 7) {
            bench.database().refusals.push_back({table("plain"), {std::to_string(key), "3", "long"}}
            );
        }
        for (int i = 0; i < 6; ++i) {
            (void)bench.run(std::chrono::seconds(1));
            bench.world().run();
        }
        bench.database().faults = {};
        ASSERT_TRUE(bench.run());
        std::set<std::string> held_back;
        for (const auto& [number, error] : bench.database().committed().errors) {
            held_back.insert(error.second.key_text);
        }
        const auto right = [&](std::vector<history::Row> rows) {
            std::erase_if(rows, [&](const history::Row& row) {
                return held_back.contains("id=" + *row[0]);
            });
            return rows;
        };
        EXPECT_EQ(
            right(bench.database().rows(table("plain"))), right(bench.expected().at(table("plain")))
        );
        for (const auto& key : held_back) {
            EXPECT_EQ(laid_aside(bench, key), changes_behind(bench, history, key)) << key;
        }
        EXPECT_LE(held_back.size(), 5U);
        EXPECT_EQ(bench.last_status.open_errors, held_back.size());
        EXPECT_EQ(bench.position(), last_position(history));
    }
}

TEST(Applier, DoesTolerantChangesWhateverItMeets) {
    for (const auto* name : {"plain", "decimal", "contact"}) {
        SCOPED_TRACE(name);
        const size_t columns = std::string(name) == "plain" ? 3 : 2;
        const auto row = [&](int key, const std::string& word) {
            std::vector<std::string> values{std::to_string(key), word + std::to_string(key)};
            values.resize(columns, "more");
            return values;
        };
        History history(1);
        for (int round = 0; round < 3; ++round) {
            for (int key = 0; key < 12; ++key) {
                history.insert(name, row(key, "a"), true);
                history.update(name, std::to_string(key), row(key, "c"), true);
                history.update(name, std::to_string(key + 3), row(key + 3, "b"), true);
                history.erase(name, std::to_string(key + 5), true);
            }
            history.commit();
        }
        Bench bench(history, 1);
        auto theirs = row(2, "theirs");
        bench.database().foreign_insert(table(name), {theirs.begin(), theirs.end()});
        const auto end = bench.run();
        EXPECT_TRUE(end) << end.error().to_string();
        EXPECT_EQ(bench.last_status.divergences, 0U);
        EXPECT_EQ(bench.last_status.redone, 0U);
        expect_clean(bench);
    }
}

/// Sends the first fragments of some transactions twice, as a sender that lost its connection, or
/// that of one never sent to its end.
std::vector<Input> stutter(std::vector<Input> inputs, std::mt19937_64& random) {
    std::vector<Input> out;
    std::vector<Input> open;
    for (auto& input : inputs) {
        const auto* fragment = std::get_if<Fragment>(&input);
        out.push_back(input);
        if (fragment == nullptr) {
            continue;
        }
        if (fragment->number == 0) {
            open.clear();
        }
        open.push_back(input);
        if (!fragment->last && random() % 2 == 0) {
            out.insert(out.end(), open.begin(), open.end());
        }
    }
    return out;
}

// Goal: a transaction that its sender begins again half way, whether it is held or already being
// written, counts once. Source: rules 4
TEST(Applier, BeginsATransactionAgainWithItsFirstFragment) {
    for (uint64_t seed = 1; seed <= 40; ++seed) {
        SCOPED_TRACE(seed);
        History history(seed);
        history.commit_many(30, 40);
        Bench bench(history, seed);
        bench.options.transaction_bytes_max = seed % 2 == 0 ? 100 : 1'000'000;
        bench.edit = [&history](std::vector<Input> inputs) {
            return stutter(std::move(inputs), history.random());
        };
        const auto end = bench.run();
        EXPECT_TRUE(end) << end.error().to_string();
        EXPECT_EQ(bench.position(), last_position(history));
        EXPECT_EQ(bench.last_status.transactions, 30U);
        EXPECT_EQ(bench.rewinds, 0U);
        expect_clean(bench);
    }
}

// Goal: the checkpoint's packet may end inside a transaction that the checkpoint contains, because
// the next packet has its end and the begin of another: its rest is skipped, not asked for again.
// Spec: R-21
TEST(Applier, SkipsTheRestOfATransactionThatIsAlreadyApplied) {
    History history(11);
    history.commit_many(10, 40);
    Bench bench(history, 11);
    EXPECT_TRUE(bench.run());
    const auto rows = bench.database().counters().rows_written;
    size_t cut = 0;
    bench.edit = [&cut](std::vector<Input> inputs) {
        const auto inside = [](const Input& input) {
            const auto* fragment = std::get_if<Fragment>(&input);
            return fragment != nullptr && fragment->number > 0;
        };
        const auto met = std::ranges::find_if(inputs, inside);
        cut = static_cast<size_t>(met - inputs.begin());
        inputs.erase(inputs.begin(), met);
        return inputs;
    };
    const auto end = bench.run();
    EXPECT_TRUE(end) << end.error().to_string();
    EXPECT_GT(cut, 0U);
    EXPECT_EQ(bench.rewinds, 0U);
    EXPECT_EQ(bench.database().counters().rows_written, rows);
    EXPECT_GT(bench.last_status.skipped, 0U);
    expect_clean(bench);
}

TEST(Applier, AsksForALostFragmentAgain) {
    int times = 0;
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        History history(seed);
        for (int i = 0; i < 100; ++i) {
            history.insert("plain", {std::to_string(i), "a", "b"});
        }
        history.commit();
        Bench bench(history, seed);
        bench.options.transaction_bytes_max = seed % 2 == 0 ? 100 : 1'000'000;
        bool lost = false;
        bench.edit = [&lost](std::vector<Input> inputs) {
            const auto second = [](const Input& input) {
                const auto* fragment = std::get_if<Fragment>(&input);
                return fragment != nullptr && fragment->number == 1 && !fragment->last;
            };
            const auto met = std::ranges::find_if(inputs, second);
            if (!lost && met != inputs.end()) {
                inputs.erase(met);
                lost = true;
            }
            return inputs;
        };
        EXPECT_TRUE(bench.run());
        EXPECT_EQ(bench.rewinds, lost ? 1U : 0U);
        times += lost;
        expect_clean(bench);
    }
    EXPECT_GT(times, 2);
}

// Source: rules 23
TEST(Applier, TruncatesByDeletingWhereOthersReferToTheTable) {
    History history(1);
    history.insert("customer", {"1", "x"});
    history.insert("plain", {"1", "x", "y"});
    history.commit();
    history.truncate({"customer", "plain"});
    history.commit();
    Bench bench(history, 1);
    EXPECT_TRUE(bench.run());
    expect_clean(bench);
    EXPECT_TRUE(bench.database().rows(table("customer")).empty());
}

TEST(Applier, WaitsForAFullDiskAndGoesOn) {
    auto history = with_rows();
    Bench bench(history, 1);
    bench.database().faults.resource = 1000;
    const auto end = bench.run(std::chrono::minutes(2));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code(), ErrorCode::Cancelled);
    EXPECT_EQ(bench.last_status.state, ApplyState::Paused);
    ASSERT_TRUE(bench.last_status.last_error);
    EXPECT_EQ(bench.last_status.last_error->code(), ErrorCode::DbResource);
    bench.database().faults = {};
    EXPECT_TRUE(bench.run());
    expect_clean(bench);
}

}  // namespace
}  // namespace qiao::apply
