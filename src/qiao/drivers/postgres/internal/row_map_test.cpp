#include "qiao/drivers/postgres/internal/row_map.h"

#include "qiao/drivers/postgres/internal/row_maps.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

namespace qiao::drivers::postgres::internal {
namespace {

constexpr uint32_t kOid = 77;

Place place_of(uint32_t n) {
    return {.leaf = 1000 + n % 3, .block = n, .line = static_cast<uint16_t>(n)};
}

/// A map beside what it must hold: the places of a digest in the order in which they came.
class CheckedMap {
public:
    void put(uint64_t digest, const Place& place) {
        map.put(digest, place);
        oracle_[digest].push_back(place);
        ++size_;
    }

    void take(uint64_t digest) {
        auto& places = oracle_[digest];
        const auto taken = map.take(digest);
        ASSERT_EQ(taken.has_value(), !places.empty());
        if (taken) {
            const auto found = std::ranges::find(places, *taken);
            ASSERT_NE(found, places.end());
            places.erase(found);
            --size_;
        }
    }

    void check() {
        ASSERT_EQ(map.size(), size_);
        for (const auto& [digest, places] : oracle_) {
            ASSERT_EQ(map.contains(digest), !places.empty());
        }
    }

    RowMap map;

private:
    std::map<uint64_t, std::vector<Place>> oracle_;
    size_t size_ = 0;
};

// Spec: R-24
TEST(RowMap, GivesEachPlaceBackOnceUnderItsDigest) {
    for (uint64_t seed = 1; seed <= 30; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937_64 random(seed);
        const uint64_t digests = 1 + random() % 3000;
        // Hashes, small numbers, and numbers that differ in their high half only.
        const auto digest = [&random, seed, digests] {
            const uint64_t n = random() % digests;
            return seed % 3 == 0 ? n : seed % 3 == 1 ? n << 32U : n * 0x9E3779B97F4A7C15U;
        };
        CheckedMap checked;
        for (uint32_t i = 0; i < 20'000; ++i) {
            // By turns it grows and shrinks.
            const bool grows = i / 4000 % 2 == 0;
            if (random() % 4 < (grows ? 3 : 1)) {
                checked.put(digest(), place_of(i));
            } else {
                checked.take(digest());
            }
            if (HasFatalFailure()) {
                return;
            }
        }
        checked.check();
    }
}

TEST(RowMap, TwoMillionRowsFitInTheirBudget) {
    RowMap map;
    std::mt19937_64 random(1);
    for (uint32_t i = 0; i < 2'000'000; ++i) {
        map.put(random(), place_of(i));
    }
    EXPECT_EQ(map.size(), 2'000'000);
    EXPECT_LE(map.bytes(), size_t{54} << 20U);
    const auto held = map.bytes();
    // What is taken out makes room for what comes.
    for (std::mt19937_64 again(1); map.size() > 0;) {
        ASSERT_TRUE(map.take(again()));
    }
    for (uint32_t i = 0; i < 1'000'000; ++i) {
        map.put(random(), place_of(i));
    }
    EXPECT_EQ(map.bytes(), held);
}

/// Walking over the equal ones at each step would take hours.
TEST(RowMap, EqualRowsCostNoMoreThanOthers) {
    RowMap map;
    constexpr uint32_t kEqual = 1'000'000;
    for (uint32_t i = 0; i < kEqual; ++i) {
        map.put(5, place_of(i));
        map.put(i, place_of(i));
    }
    for (uint32_t i = 0; i < kEqual; ++i) {
        ASSERT_TRUE(map.take(5));
        ASSERT_TRUE(map.take(i == 5 ? 6 : i) || i == 6);
    }
}

TEST(RowMap, PlacesOfMoreLeavesThanItCanNameAreNotKept) {
    RowMap map;
    for (uint32_t leaf = 0; leaf < 65'536 + 10; ++leaf) {
        map.put(leaf, {.leaf = leaf, .block = 1, .line = 1});
    }
    EXPECT_EQ(map.size(), 65'536);
    EXPECT_TRUE(map.contains(65'535));
    EXPECT_FALSE(map.contains(65'536));
}

class RowJournalTest : public ::testing::Test {
protected:
    static constexpr uint64_t kDigests = 50;

    std::shared_ptr<MappedTable> make_table() {
        auto table = std::make_shared<MappedTable>();
        table->generation = maps_->next_generation();
        maps_->keep(kOid, table);
        return table;
    }

    /// What the map holds of each digest, in the order in which it would give it.
    static std::map<uint64_t, std::vector<uint32_t>> contents(MappedTable& table) {
        std::map<uint64_t, std::vector<uint32_t>> all;
        for (uint64_t digest = 0; digest < kDigests; ++digest) {
            std::vector<Place> taken;
            while (const auto place = table.rows.take(digest)) {
                taken.push_back(*place);
                all[digest].push_back(place->block);
            }
            for (auto place = taken.rbegin(); place != taken.rend(); ++place) {
                table.rows.put(digest, *place);
            }
        }
        return all;
    }

    std::shared_ptr<RowMaps> maps_ = std::make_shared<RowMaps>(size_t{1} << 20U);
};

// Spec: R-24
TEST_F(RowJournalTest, WhatIsRolledBackLeavesNoTrace) {
    for (uint64_t seed = 1; seed <= 50; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937_64 random(seed);
        auto table = make_table();
        RowJournal journal(maps_);
        uint32_t number = 0;
        const auto work = [&] {
            for (auto left = random() % 200; left > 0; --left) {
                const auto digest = random() % kDigests;
                if (random() % 2 == 0) {
                    journal.put(kOid, *table, digest, place_of(++number));
                } else {
                    journal.take(kOid, *table, digest);
                }
            }
        };
        for (int transaction = 0; transaction < 20; ++transaction) {
            ASSERT_EQ(journal.lease(kOid), table);
            const auto before = contents(*table);
            work();
            journal.savepoint();
            const auto between = contents(*table);
            work();
            journal.savepoint();
            work();
            journal.release_savepoint();
            if (random() % 2 == 0) {
                journal.rollback_to_savepoint();
                ASSERT_EQ(contents(*table), between);
                work();
            }
            journal.release_savepoint();
            if (random() % 2 == 0) {
                journal.commit();
            } else {
                journal.rollback();
                ASSERT_EQ(contents(*table), before);
            }
        }
    }
}

TEST_F(RowJournalTest, AMapServesOneTransactionAtATime) {
    const auto table = make_table();
    RowJournal other(maps_);
    {
        RowJournal journal(maps_);
        ASSERT_EQ(journal.lease(kOid), table);
        EXPECT_EQ(journal.lease(kOid), table);
        EXPECT_EQ(other.lease(kOid), nullptr);
        EXPECT_TRUE(other.is_lent_to_other(kOid));
        journal.put(kOid, *table, 1, place_of(1));
        // The session dies, and its transaction with it.
    }
    EXPECT_EQ(table->rows.size(), 0);
    EXPECT_EQ(other.lease(kOid), table);
}

TEST_F(RowJournalTest, AnUnknownCommitDropsTheMapsOfItsTransaction) {
    const auto table = make_table();
    RowJournal journal(maps_);
    ASSERT_EQ(journal.lease(kOid), table);
    journal.forget();
    EXPECT_EQ(maps_->find(kOid), nullptr);
}

TEST_F(RowJournalTest, WhatWasDoneToAnEarlierMapIsNotUndoneInALaterOne) {
    const auto before = make_table();
    RowJournal journal(maps_);
    ASSERT_EQ(journal.lease(kOid), before);
    journal.put(kOid, *before, 1, place_of(1));
    maps_->drop(kOid);
    const auto after = make_table();
    after->rows.put(1, place_of(2));
    ASSERT_EQ(journal.lease(kOid), after);
    journal.rollback();
    EXPECT_EQ(after->rows.take(1), place_of(2));
}

TEST_F(RowJournalTest, TooMuchToUndoDropsTheMap) {
    const auto table = make_table();
    RowJournal journal(maps_);
    ASSERT_EQ(journal.lease(kOid), table);
    for (uint32_t i = 0; i < 300'000; ++i) {
        journal.put(kOid, *table, i, place_of(i));
    }
    journal.rollback();
    EXPECT_EQ(maps_->find(kOid), nullptr);
    const auto another = make_table();
    ASSERT_EQ(journal.lease(kOid), another);
    journal.put(kOid, *another, 1, place_of(1));
    journal.rollback();
    EXPECT_EQ(maps_->find(kOid), another);
    EXPECT_EQ(another->rows.size(), 0);
}

TEST_F(RowJournalTest, ATableOverTheBudgetHasNoMapUntilItIsDropped) {
    maps_->give_up(kOid);
    RowJournal journal(maps_);
    EXPECT_EQ(journal.lease(kOid), nullptr);
    EXPECT_TRUE(maps_->is_given_up(kOid));
    EXPECT_EQ(maps_->figures().tables_over_budget, 1);
    maps_->drop(kOid);
    EXPECT_FALSE(maps_->is_given_up(kOid));
}

}  // namespace
}  // namespace qiao::drivers::postgres::internal
