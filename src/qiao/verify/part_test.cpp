// Comparisons of a part of a table: by sample and by range. Spec: R-36

#include "qiao/verify/repair.h"
#include "qiao/verify/two_sides_test.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qiao::verify {
namespace {

using Kind = Difference::Kind;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint64_t kRows = 400;
constexpr uint64_t kFirstStamp = 1000;
/// Places in a row.
constexpr size_t kId = 1;
constexpr size_t kStamp = 2;
constexpr size_t kValue = 5;

/// Rows 0 … 399 with a stamp of 1000 … 1399 in column `a`, on both sides.
class Parts : public ::testing::Test {
protected:
    Parts() {
        for (uint64_t id = 0; id < kRows; ++id) {
            auto row = random_row(sides_.random, id);
            row[kStamp] = std::to_string(kFirstStamp + id);
            sides_.source.rows.insert(row);
        }
        sides_.target.rows = sides_.source.rows;
    }

    void change_target(uint64_t id, size_t column, Cell value) {
        auto& rows = sides_.target.rows;
        const auto is_it = [id](const ModelRow& row) { return row[kId] == std::to_string(id); };
        const auto row = std::ranges::find_if(rows, is_it);
        auto changed = *row;
        changed[column] = std::move(value);
        rows.erase(row);
        rows.insert(std::move(changed));
    }

    void change_all() {
        for (uint64_t id = 0; id < kRows; ++id) {
            change_target(id, kValue, "altered");
        }
    }

    void sample(uint32_t share, uint32_t seed) {
        sides_.part.share = share;
        sides_.part.seed = seed;
    }

    void range(std::optional<std::string> from, std::optional<std::string> to) {
        sides_.part.range = {{"a", std::move(from), std::move(to)}, std::nullopt};
    }

    /// Ids of the rows that differ.
    static std::set<uint64_t> found(const TableReport& report) {
        EXPECT_FALSE(report.error) << report.error->to_string();
        std::set<uint64_t> ids;
        for (const auto& one : report.differences) {
            ids.insert(std::stoull(one.key.at(1).value.value()));
        }
        return ids;
    }

    TwoSides sides_{1};
};

TEST_F(Parts, ASampleReadsTheSameRowsAtBothEndsAndLeavesTheOthersOut) {
    sample(1000, 7);
    const auto report = sides_.run().report;
    EXPECT_EQ(report.verdict, Verdict::Equal);
    EXPECT_EQ(report.part, sides_.part);
    EXPECT_GT(report.source_rows, kRows / 50);
    EXPECT_LT(report.source_rows, kRows / 5);
    EXPECT_EQ(report.target_rows, report.source_rows);
    EXPECT_EQ(sides_.source_reader.rows_sent, report.source_rows);
    EXPECT_EQ(sides_.target_reader.rows_sent, report.source_rows);
}

TEST_F(Parts, ADifferenceInsideTheSampleIsFoundAndOneOutsideIsNot) {
    change_all();
    sample(1000, 7);
    const auto inside = found(sides_.run().report);
    EXPECT_THAT(inside, ::testing::SizeIs(::testing::Gt(8)));
    sides_.target.rows = sides_.source.rows;
    for (uint64_t id = 0; id < kRows; id += 10) {
        change_target(id, kValue, "altered");
    }
    std::set<uint64_t> expected;
    for (const auto id : inside) {
        if (id % 10 == 0) {
            expected.insert(id);
        }
    }
    EXPECT_EQ(found(sides_.run().report), expected);
}

TEST_F(Parts, ASeedChoosesTheSameRowsAgainAndAnotherOneOthers) {
    change_all();
    sample(1000, 7);
    const auto first = found(sides_.run().report);
    EXPECT_EQ(found(sides_.run().report), first);
    sample(1000, 8);
    EXPECT_NE(found(sides_.run().report), first);
    sample(2500, 7);
    EXPECT_THAT(found(sides_.run().report), ::testing::IsSupersetOf(first));
}

TEST_F(Parts, WithoutASeedOneIsDrawnAndTold) {
    sides_.part.share = 1000;
    const auto report = sides_.run().report;
    ASSERT_TRUE(report.part.seed);
    EXPECT_EQ(sides_.source_reader.rows_sent, report.source_rows);
}

TEST_F(Parts, ASampleOfAllRowsFindsAllAndIsStillAPart) {
    change_all();
    sample(drivers::RowSample::kAll, 7);
    const auto report = sides_.run().report;
    EXPECT_EQ(found(report).size(), kRows);
    EXPECT_FALSE(report.part.whole());
}

TEST_F(Parts, AKeylessTableIsSampledByItsWholeRows) {
    sides_.set_keyed(false);
    sample(2000, 7);
    auto report = sides_.run().report;
    EXPECT_EQ(report.verdict, Verdict::Equal);
    EXPECT_EQ(report.source_rows, report.target_rows);
    EXPECT_LT(report.source_rows, kRows / 2);
    // A copy of a row that is in the sample is in the sample.
    const auto copied = sides_.target.rows;
    sides_.target.rows.insert(copied.begin(), copied.end());
    report = sides_.run().report;
    EXPECT_EQ(report.target_rows, 2 * report.source_rows);
    EXPECT_EQ(report.confirmed, report.source_rows);
    EXPECT_EQ(report.differences.front().kind, Kind::Copies);
}

TEST_F(Parts, ARangeIsFromItsLowerEndOnAndBeforeItsUpperOne) {
    change_all();
    range("1010", "1013");
    EXPECT_THAT(found(sides_.run().report), ElementsAre(10, 11, 12));
    range("1398", std::nullopt);
    EXPECT_THAT(found(sides_.run().report), ElementsAre(398, 399));
    range(std::nullopt, "1001");
    EXPECT_THAT(found(sides_.run().report), ElementsAre(0));
    EXPECT_EQ(sides_.run().report.part.range->range.to, "1001");
}

TEST_F(Parts, NullLiesInNoRange) {
    change_all();
    for (uint64_t id = 0; id < 5; ++id) {
        change_target(id, kStamp, std::nullopt);
    }
    sides_.source.rows = sides_.target.rows;
    range("", std::nullopt);
    const auto report = sides_.run().report;
    EXPECT_EQ(report.verdict, Verdict::Equal);
    EXPECT_EQ(report.source_rows, kRows - 5);
}

TEST_F(Parts, ARowInTheRangeAtOneEndOnlyDiffersInThatColumn) {
    change_target(10, kStamp, "9999");
    change_target(20, kStamp, "1011");
    change_target(30, kStamp, std::nullopt);
    for (const bool withheld : {false, true}) {
        sides_.options.withhold_keys = withheld;
        range("1000", "1040");
        auto report = sides_.run().report;
        EXPECT_EQ(report.confirmed, 3U);
        range("1010", "1020");
        report = sides_.run().report;
        ASSERT_EQ(report.confirmed, 2U) << "10 left it at the target, 20 came";
        for (const auto& one : report.differences) {
            EXPECT_EQ(one.kind, Kind::Differs);
            EXPECT_THAT(one.columns, ElementsAre("a"));
        }
    }
}

TEST_F(Parts, RowsThatAreMissingOrTooManyInARangeAreSo) {
    std::erase_if(sides_.target.rows, [](const auto& row) { return row[kId] == "12"; });
    std::erase_if(sides_.source.rows, [](const auto& row) { return row[kId] == "14"; });
    std::erase_if(sides_.target.rows, [](const auto& row) { return row[kId] == "300"; });
    range("1010", "1020");
    const auto report = sides_.run().report;
    EXPECT_THAT(found(report), ElementsAre(12, 14));
    for (const auto& one : report.differences) {
        const bool missing = one.key.at(1).value == "12";
        EXPECT_EQ(one.kind, missing ? Kind::MissingAtTarget : Kind::ExtraAtTarget);
    }
}

TEST_F(Parts, ARecentRangeTakesItsBoundOnceByTheSourcesClock) {
    change_all();
    sides_.source_reader.seconds_now = 1400;
    sides_.target_reader.seconds_now = 1900;  // another clock
    sides_.part.range = {{"a", std::nullopt, std::nullopt}, std::chrono::seconds(3)};
    const auto report = sides_.run().report;
    EXPECT_THAT(found(report), ElementsAre(397, 398, 399));
    // Compared again later, it is the same rows.
    EXPECT_EQ(report.part.range->range.from, "1397");
    EXPECT_FALSE(report.part.range->within);
    sides_.part = report.part;
    sides_.source_reader.seconds_now = 1900;
    EXPECT_THAT(found(sides_.run().report), ElementsAre(397, 398, 399));
}

TEST_F(Parts, SampleAndRangeTogetherAreTheRowsOfBoth) {
    change_all();
    sample(2000, 7);
    const auto sampled = found(sides_.run().report);
    range("1100", "1200");
    std::set<uint64_t> expected;
    for (const auto id : sampled) {
        if (id >= 100 && id < 200) {
            expected.insert(id);
        }
    }
    EXPECT_EQ(found(sides_.run().report), expected);
    EXPECT_THAT(expected, ::testing::Not(IsEmpty()));
}

TEST_F(Parts, AreTheSameAcrossALink) {
    change_all();
    sample(2000, 7);
    range("1100", "1200");
    const auto here = found(sides_.run().report);
    for (int ways = 1; ways < 4; ++ways) {
        sides_.remote_source = (ways & 1) != 0;
        sides_.remote_target = (ways & 2) != 0;
        EXPECT_EQ(found(sides_.run().report), here);
    }
}

TEST_F(Parts, AreCountedAtTableLevel) {
    sides_.options.level = Level::Table;
    range("1010", "1020");
    auto report = sides_.run().report;
    EXPECT_EQ(report.verdict, Verdict::Equal);
    EXPECT_EQ(report.source_rows, 10U);
    std::erase_if(sides_.target.rows, [](const auto& row) { return row[kId] == "12"; });
    report = sides_.run().report;
    EXPECT_EQ(report.verdict, Verdict::Different);
    EXPECT_EQ(report.target_rows, 9U);
    EXPECT_FALSE(report.part.whole());
}

TEST_F(Parts, AColumnThatIsNotThereIsToldAndNothingIsCalledEqual) {
    sides_.part.range = {{"changed_at", "1", std::nullopt}, std::nullopt};
    const auto report = sides_.run().report;
    EXPECT_EQ(report.verdict, Verdict::CouldNotTell);
    ASSERT_TRUE(report.error);
    EXPECT_EQ(report.error->code(), ErrorCode::DbNoTable);
    EXPECT_FALSE(report.part.whole());
}

TEST_F(Parts, WhatIsFoundIsMendedAndNothingElse) {
    change_all();
    range("1010", "1013");
    auto list = sides_.run().repair;
    auto reading = read_repair(sides_.source_reader, std::move(list), {}, sides_.stop);
    const auto plan = sides_.world.run(std::move(reading)).value();
    EXPECT_EQ(plan.changes.size(), 3U);
    for (const auto& change : plan.changes) {
        EXPECT_EQ(change.op, model::Op::Insert);
    }
}

}  // namespace
}  // namespace qiao::verify
