#include "qiao/apply/applier.h"
#include "qiao/apply/history_test.h"

#include <gtest/gtest.h>

namespace qiao::apply {
namespace {

using drivers::TableStatus;
using history::Bench;
using history::History;
using history::table;
using model::SourcePosition;
using Kind = model::TableNotice::Kind;

model::TableNotice notice(Kind kind, SourcePosition position) {
    return {kind, table("plain"), std::move(position)};
}

SourcePosition at(uint64_t lsn) { return SourcePosition::lsn(7, 1, lsn); }

/// A history of three transactions, with one notice after the first.
class Notices : public ::testing::Test {
protected:
    Notices() : history_(1) {
        for (const auto* id : {"1", "2", "3"}) {
            history_.insert("plain", {id, "a", "b"});
            history_.commit();
        }
    }

    /// `before` and `notice` go in front of the second transaction.
    TableStatus run(TableStatus before, const std::vector<Kind>& kinds) {
        std::vector<model::TableNotice> notices;
        for (const auto kind : kinds) {
            notices.push_back(notice(kind, at(150)));
        }
        return run(drivers::TableState{table("plain"), 1, before, {}}, notices).status;
    }

    drivers::TableState run(
        const drivers::TableState& before, const std::vector<model::TableNotice>& notices
    ) {
        Bench bench(history_, 1);
        bench.edit = [&](std::vector<Input> inputs) {
            std::vector<Input> edited{TableStateChange{before}};
            bool first = true;
            for (auto& input : inputs) {
                edited.push_back(std::move(input));
                if (first && std::holds_alternative<Fragment>(edited.back())) {
                    first = false;
                    edited.insert(edited.end(), notices.begin(), notices.end());
                }
            }
            return edited;
        };
        EXPECT_TRUE(bench.run());
        const auto rows = bench.target();
        rows_ = rows.contains(table("plain")) ? rows.at(table("plain")).size() : 0;
        return bench.database().committed().table_states.begin()->second;
    }

    History history_;
    size_t rows_ = 0;
};

// Source: rules 1, 23
TEST_F(Notices, AChangedTableIsUnprovenAndGoesOnUntilItIsProven) {
    EXPECT_EQ(run(TableStatus::Live, {Kind::CatalogueChanged}), TableStatus::Unproven);
    EXPECT_EQ(rows_, 3U);
    EXPECT_EQ(run(TableStatus::Live, {Kind::CatalogueChanged, Kind::Proven}), TableStatus::Live);
    EXPECT_EQ(
        run(TableStatus::Live, {Kind::Proven, Kind::CatalogueChanged}), TableStatus::Unproven
    );
    EXPECT_EQ(run(TableStatus::Unproven, {Kind::Proven}), TableStatus::Live);
}

// Source: rules 11, 20
TEST_F(Notices, AWithdrawnTableNeedsAResyncAndNoProofHelps) {
    EXPECT_EQ(run(TableStatus::Live, {Kind::Withdrawn, Kind::Proven}), TableStatus::NeedsResync);
    EXPECT_EQ(rows_, 1U) << "what comes behind the notice is not the whole any more";
    EXPECT_EQ(run(TableStatus::NeedsResync, {Kind::CatalogueChanged}), TableStatus::NeedsResync);
}

// Source: rules 1, 23
TEST_F(Notices, AProofCountsIfItIsNoOlderThanTheDoubt) {
    const drivers::TableState live{table("plain"), 1, TableStatus::Live, {}};
    const auto changed = notice(Kind::CatalogueChanged, at(150));
    const auto doubted = run(live, {changed, notice(Kind::Proven, at(149))});
    EXPECT_EQ(doubted.status, TableStatus::Unproven);
    EXPECT_EQ(doubted.doubted_at, at(150));
    const auto elsewhere = notice(Kind::Proven, SourcePosition::lsn(7, 2, 1000));
    EXPECT_EQ(run(live, {changed, elsewhere}).status, TableStatus::Unproven);
    const auto proven = run(live, {changed, notice(Kind::Proven, at(150))});
    EXPECT_EQ(proven.status, TableStatus::Live);
    EXPECT_TRUE(proven.doubted_at.empty());
    auto again = changed;
    again.position = at(160);
    EXPECT_EQ(
        run(live, {changed, again, notice(Kind::Proven, at(155))}).status, TableStatus::Unproven
    );
}

// What a load holds is of its place, whatever the table was before.
// Source: rules 13, 23
TEST_F(Notices, AProofFromBeforeALoadDoesNotCount) {
    const drivers::TableState adopted{
        table("plain"), 2, TableStatus::Unproven, at(140), "", at(90)
    };
    EXPECT_EQ(run(adopted, {notice(Kind::Proven, at(139))}).status, TableStatus::Unproven);
    EXPECT_EQ(run(adopted, {notice(Kind::Proven, at(140))}).status, TableStatus::Live);
}

// Source: rules 1, 20
TEST_F(Notices, APausedTableIsInDoubtAsOfTheLastChangeOfItsCatalogue) {
    const drivers::TableState shape{
        table("decimal"), 1, TableStatus::Paused, {}, "ALTER TABLE", at(90)
    };
    auto changed = notice(Kind::CatalogueChanged, at(150));
    auto proven = notice(Kind::Proven, at(160));
    changed.table = proven.table = shape.table;
    const auto state = run(shape, {changed, proven});
    EXPECT_EQ(state.status, TableStatus::Paused);
    EXPECT_EQ(state.note, "ALTER TABLE");
    EXPECT_EQ(state.doubted_at, at(150));
}

}  // namespace
}  // namespace qiao::apply
