// What a comparison of a part may say of a table, and what it may not. Spec: R-36

#include "qiao/agent/comparison.h"

#include "qiao/agent/renamed_reader.h"
#include "qiao/agent/verification.h"
#include "qiao/verify/repair.h"
#include "qiao/verify/two_sides_test.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qiao::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using verify::ModelRow;
using verify::Verdict;

constexpr uint64_t kRows = 300;
constexpr uint64_t kFirstStamp = 1000;

class Comparing : public ::testing::Test {
protected:
    Comparing() {
        for (uint64_t id = 0; id < kRows; ++id) {
            auto row = verify::random_row(sides_.random, id);
            row[2] = std::to_string(kFirstStamp + id);
            sides_.source.rows.insert(row);
        }
        sides_.target.rows = sides_.source.rows;
    }

    void alter_all_of_the_target() {
        verify::ModelRows altered;
        for (auto row : sides_.target.rows) {
            row[5] = "altered";
            altered.insert(std::move(row));
        }
        sides_.target.rows = std::move(altered);
    }

    size_t altered() const {
        const auto is_it = [](const ModelRow& row) { return row[5] == "altered"; };
        return static_cast<size_t>(std::ranges::count_if(sides_.target.rows, is_it));
    }

    static ComparisonOptions sample(uint32_t share) {
        ComparisonOptions options;
        options.part.share = share;
        options.part.seed = 7;
        return options;
    }

    static ComparisonOptions range(std::string from, std::string to) {
        ComparisonOptions options;
        options.part.range = {{"a", std::move(from), std::move(to)}, std::nullopt};
        return options;
    }

    /// A tolerant insert of the whole row, as the plans of a keyed table have it.
    Task<Result<engine::SourceFlow::Repaired>> mend(verify::RepairList list, StopSignal& stop) {
        QIAO_CO_TRY(
            const auto plan,
            co_await verify::read_repair(sides_.source_reader, std::move(list), {}, stop)
        );
        for (const auto& change : plan.changes) {
            ModelRow row;
            for (const auto& value : change.new_row.values()) {
                const bool null = value.kind == model::ValueKind::Null;
                row.push_back(null ? verify::Cell() : verify::Cell(as_text(value.bytes)));
            }
            std::erase_if(sides_.target.rows, [&row](const ModelRow& other) {
                return other[1] == row[1];
            });
            sides_.target.rows.insert(std::move(row));
        }
        engine::SourceFlow::Repaired done;
        done.changes = plan.changes.size();
        co_return done;
    }

    ComparisonReport compare(ComparisonOptions options, size_t tables = 1) {
        verify::LocalSide source({sides_.world, sides_.world, sides_.source_reader});
        verify::LocalSide target({sides_.world, sides_.world, sides_.target_reader});
        Comparison::Parts parts{
            sides_.world, sides_.world, sides_.world, source, target, {}, {}, {}
        };
        parts.repair = [this](verify::RepairList list, StopSignal& stop) {
            return mend(std::move(list), stop);
        };
        parts.prove = [this](model::TableName table, model::SourcePosition at, StopSignal&) {
            return take_proof(std::move(table), std::move(at));
        };
        parts.flow.wait_applied = [this](model::SourcePosition at, Deadline, StopSignal&) {
            return apply_up_to(std::move(at));
        };
        Comparison comparison(std::move(parts), std::move(options));
        const verify::TablePair pair{sides_.source.name, sides_.target.name, {}};
        return sides_.world.run(
            comparison.run(std::vector<verify::TablePair>(tables, pair), sides_.stop)
        );
    }

    Task<Status> take_proof(model::TableName table, model::SourcePosition position) {
        proven_.push_back(table.to_string() + " " + position.to_string());
        co_return Status{};
    }

    /// The source goes on meanwhile.
    Task<Status> apply_up_to(model::SourcePosition /*position*/) {
        ++sides_.source.lsn;
        co_return Status{};
    }

    verify::TwoSides sides_{1};
    std::vector<std::string> proven_;
};

TEST_F(Comparing, OnlyAllRowsAndFieldsProveATable) {
    auto fields_of_a_range = range("1000", "9999");  // which all rows lie in
    auto rows_alone = ComparisonOptions{};
    rows_alone.verify.level = verify::Level::Table;
    for (const auto& options :
         {sample(1000), sample(drivers::RowSample::kAll), fields_of_a_range, rows_alone}) {
        EXPECT_EQ(compare(options).report.verdict(), Verdict::Equal);
        EXPECT_THAT(proven_, IsEmpty());
    }
    EXPECT_EQ(compare({}).report.verdict(), Verdict::Equal);
    EXPECT_THAT(proven_, SizeIs(1));
}

// A column that came a moment later is in none of the rows that were found equal.
TEST_F(Comparing, AProofIsAsOfBeforeTheColumnsWereLookedUp) {
    const auto before = sides_.world.run(sides_.source_reader.current_position());
    sides_.source_reader.described = [this] { ++sides_.source.lsn; };
    EXPECT_EQ(compare({}).report.verdict(), Verdict::Equal);
    EXPECT_THAT(proven_, ElementsAre("public.t " + before->to_string()));
}

TEST_F(Comparing, ARepairOfAPartMendsItAndProvesNothing) {
    alter_all_of_the_target();
    auto options = range("1010", "1020");
    options.repair = true;
    const auto report = compare(options);
    EXPECT_EQ(report.report.verdict(), Verdict::Equal);
    EXPECT_FALSE(report.report.whole());
    ASSERT_EQ(report.repairs.size(), 1U);
    EXPECT_EQ(report.repairs[0].changes, 10U);
    EXPECT_EQ(altered(), kRows - 10);
    EXPECT_THAT(proven_, IsEmpty());
}

TEST_F(Comparing, WhatWasMendedIsLookedAtAgainWhereItWasFound) {
    alter_all_of_the_target();
    ComparisonOptions options;
    options.repair = true;
    options.part.range = {{"a", std::nullopt, std::nullopt}, std::chrono::seconds(5)};
    sides_.source_reader.seconds_now = kFirstStamp + kRows;
    const auto report = compare(options);
    EXPECT_EQ(report.report.tables.at(0).part, report.before.at(0).part);
    EXPECT_EQ(report.report.tables.at(0).source_rows, 5U);
    EXPECT_EQ(altered(), kRows - 5);
}

TEST_F(Comparing, AllTablesOfARunHaveOneSeed) {
    ComparisonOptions options;
    options.part.share = 1000;
    const auto report = compare(options, 3).report;
    ASSERT_TRUE(report.tables.at(0).part.seed);
    EXPECT_EQ(report.tables[1].part, report.tables[0].part);
    EXPECT_EQ(report.tables[2].part, report.tables[0].part);
}

TEST(VerifyRequest, ARangeIsOfOneTableThatIsNamedAndARecentOneOfAny) {
    const auto parsed = [](const std::string& tables, const std::string& range) {
        return VerifyRequest::parse(
            R"({"flow": "f", "tables": [)" + tables + R"(], "part": {"share": 500, "range": )" +
            range + "}}"
        );
    };
    const std::string ends = R"({"column": "id", "from": "5"})";
    const std::string recent = R"({"column": "at", "within_seconds": 3600})";
    const auto one = parsed(R"("public.t")", ends);
    ASSERT_TRUE(one) << one.error().to_string();
    EXPECT_EQ(one->options.part.share, 500U);
    EXPECT_EQ(one->options.part.range->range.from, "5");
    for (const std::string tables : {"", R"("*")", R"("public.*")", R"("public.t", "public.u")"}) {
        EXPECT_FALSE(parsed(tables, ends)) << tables;
        EXPECT_TRUE(parsed(tables, recent)) << tables;
    }
    EXPECT_FALSE(parsed(R"("public.t")", "7"));
}

/// Takes note of what it is asked for.
class Noting final : public ReaderInFront {
public:
    Noting() : ReaderInFront(nullptr) {}

    Task<Result<drivers::RowRange>> settle_range(
        model::TableName /*table*/, drivers::RangeWanted wanted
    ) override {
        seen.range = wanted.range;
        co_return wanted.range;
    }

    Task<Result<uint64_t>> count(model::TableName /*table*/, drivers::TablePart part) override {
        seen = std::move(part);
        co_return 0;
    }

    Task<Status> scan(
        model::TableName /*table*/,
        std::vector<drivers::CanonicalColumn> /*columns*/,
        drivers::TablePart part,
        const Visit& /*visit*/,
        StopSignal& /*stop*/
    ) override {
        seen = std::move(part);
        co_return Status{};
    }

    drivers::TablePart seen;
};

TEST_F(Comparing, ARenamedColumnIsReadByTheNameThatItHasThere) {
    auto noting = std::make_unique<Noting>();
    auto& seen = noting->seen;
    model::Mapping names;
    names.rename({"public", "t"}, {{"other", "t"}, {{"id", "number"}, {"a", "changed"}}});
    RenamedReader reader(std::move(noting), names);
    const model::TableName table{"other", "t"};
    drivers::TablePart part;
    part.sample = {500, 7, {"id", "region"}};
    part.range = {"a", "1", std::nullopt};
    const auto expect_translated = [&seen] {
        EXPECT_THAT(seen.sample->columns, ElementsAre("number", "region"));
        EXPECT_EQ(seen.range->column, "changed");
        seen = {};
    };
    EXPECT_TRUE(sides_.world.run(reader.count(table, part)));
    expect_translated();
    EXPECT_TRUE(sides_.world.run(reader.scan(table, {}, part, {}, sides_.stop)));
    expect_translated();
    const auto settled = sides_.world.run(reader.settle_range(table, {*part.range, std::nullopt}));
    EXPECT_EQ(seen.range->column, "changed");
    EXPECT_EQ(settled->column, "a");
}

}  // namespace
}  // namespace qiao::agent
