#include "qiao/verify/columns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qiao::verify {
namespace {

using Form = drivers::CanonicalColumn::Form;
using Shape = drivers::TableReader::Shape;

model::Column column(std::string name, std::string type, bool key = false) {
    model::Column one;
    one.name = std::move(name);
    one.type = std::move(type);
    one.key = key;
    return one;
}

Shape shape(std::vector<model::Column> columns, std::vector<std::string> binary_safe) {
    Shape one;
    one.schema.identity = model::Identity::PrimaryKey;
    one.schema.columns = std::move(columns);
    one.binary_safe = std::move(binary_safe);
    return one;
}

Plan match(const Shape& source, const Shape& target, std::vector<std::string> chosen = {}) {
    const TablePair pair{{"public", "a"}, {"public", "b"}, std::move(chosen)};
    return match_columns(pair, source, target, {}).value();
}

std::vector<std::string> forms(const Plan& plan) {
    std::vector<std::string> all;
    for (const auto& one : plan.source.columns) {
        all.push_back(one.name + (one.form == Form::Binary ? ":b" : ":t"));
    }
    return all;
}

TEST(MatchColumns, ComparesInBinaryOnlyWhatBothCallSafeAndOfOneType) {
    const auto source = shape(
        {column("id", "int4", true),
         column("x", "int4"),
         column("y", "int4"),
         column("z", "int4"),
         column("w", "mood")},
        {"id", "x", "y", "z"}
    );
    const auto target = shape(
        {column("w", "mood"),
         column("z", "int8"),
         column("y", "int4"),
         column("x", "int4"),
         column("id", "int4", true)},
        {"id", "x", "z", "w"}
    );
    const auto plan = match(source, target);
    EXPECT_THAT(forms(plan), ::testing::ElementsAre("id:t", "x:b", "y:t", "z:t", "w:t"));
    EXPECT_THAT(plan.source.key, ::testing::ElementsAre(0));
    ASSERT_EQ(plan.findings.size(), 1U);
    EXPECT_EQ(plan.findings[0].kind, ColumnFinding::Kind::TypesDiffer);
    EXPECT_EQ(plan.findings[0].column, "z");
}

TEST(MatchColumns, HasNoKeyWhenOnePartOfItIsNotCompared) {
    const auto source = shape({column("a", "int4", true), column("b", "int4", true)}, {});
    EXPECT_EQ(match(source, source).source.key.size(), 2U);
    EXPECT_TRUE(match(source, source, {"a"}).source.keyless());
    const auto target = shape({column("b", "int4", true)}, {});
    const auto plan = match(source, target);
    EXPECT_TRUE(plan.source.keyless() && plan.target.keyless());
    EXPECT_EQ(plan.findings[0].kind, ColumnFinding::Kind::MissingAtTarget);
}

TEST(MatchColumns, ComparesGeneratedColumnsUnlessToldOtherwise) {
    auto source = shape({column("a", "int4", true), column("sum", "int4")}, {});
    source.schema.columns[1].generated = true;
    EXPECT_EQ(match(source, source).source.columns.size(), 2U);
    MatchOptions options;
    options.skip_generated = true;
    const TablePair pair{{"public", "a"}, {"public", "b"}, {}};
    EXPECT_EQ(match_columns(pair, source, source, options)->source.columns.size(), 1U);
}

TEST(MatchColumns, RefusesTablesWithNothingInCommon) {
    const auto source = shape({column("a", "int4")}, {});
    const auto target = shape({column("b", "int4")}, {});
    const TablePair pair{{"public", "a"}, {"public", "b"}, {}};
    const auto plan = match_columns(pair, source, target, {});
    ASSERT_FALSE(plan.has_value());
    EXPECT_EQ(plan.error().code(), ErrorCode::VerifyNothingComparable);
}

}  // namespace
}  // namespace qiao::verify
