#include "qiao/apply/applier.h"
#include "qiao/apply/history_test.h"

#include <gtest/gtest.h>

namespace qiao::apply {
namespace {

using drivers::TableStatus;
using history::Bench;
using history::History;
using history::table;
using Kind = model::TableNotice::Kind;

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
    TableStatus run(TableStatus before, std::vector<Kind> kinds) {
        Bench bench(history_, 1);
        bench.edit = [&](std::vector<Input> inputs) {
            const drivers::TableState state{table("plain"), 1, before, {}};
            std::vector<Input> edited{TableStateChange{state}};
            bool first = true;
            for (auto& input : inputs) {
                edited.push_back(std::move(input));
                if (first && std::holds_alternative<Fragment>(edited.back())) {
                    first = false;
                    for (const auto kind : kinds) {
                        edited.emplace_back(model::TableNotice{kind, table("plain")});
                    }
                }
            }
            return edited;
        };
        EXPECT_TRUE(bench.run());
        const auto rows = bench.target();
        rows_ = rows.contains(table("plain")) ? rows.at(table("plain")).size() : 0;
        return bench.database().committed().table_states.begin()->second.status;
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

}  // namespace
}  // namespace qiao::apply
