#include "qiao/agent/found_different.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qiao::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using verify::Level;
using verify::Verdict;

const model::TableName kPersons{"public", "persons"};
const model::TableName kParcels{"public", "parcels"};

class Found : public ::testing::Test {
protected:
    static verify::TableReport table(const model::TableName& name, Verdict verdict) {
        verify::TableReport report;
        report.source = name;
        report.verdict = verdict;
        return report;
    }

    static verify::TableReport sample(const model::TableName& name, Verdict verdict) {
        auto report = table(name, verdict);
        report.part.share = 500;
        return report;
    }

    void note(std::vector<verify::TableReport> tables, bool all_tables = false) {
        verify::VerifyReport report;
        report.tables = std::move(tables);
        found_.note(report, all_tables);
    }

    FoundDifferent found_;
};

// Spec: R-36
TEST_F(Found, ADifferenceInAPartCountsAndOnlyAllRowsTakeItBack) {
    note({sample(kPersons, Verdict::Different)});
    EXPECT_THAT(found_.tables(), ElementsAre(kPersons));
    note({sample(kPersons, Verdict::Equal)}, true);
    EXPECT_THAT(found_.tables(), ElementsAre(kPersons));
    note({table(kPersons, Verdict::CouldNotTell)}, true);
    EXPECT_THAT(found_.tables(), ElementsAre(kPersons));
    note({table(kPersons, Verdict::Equal)});
    EXPECT_THAT(found_.tables(), IsEmpty());
}

TEST_F(Found, AnotherTableThatIsEqualTakesNothingBack) {
    note({table(kPersons, Verdict::Different), table(kParcels, Verdict::Different)});
    note({table(kParcels, Verdict::Equal)});
    EXPECT_THAT(found_.tables(), ElementsAre(kPersons));
}

TEST_F(Found, ACountOfRowsDoesNotTakeBackWhatFieldsHaveShown) {
    auto counted = table(kPersons, Verdict::Equal);
    counted.level = Level::Table;
    note({table(kPersons, Verdict::Different)});
    note({counted});
    EXPECT_THAT(found_.tables(), ElementsAre(kPersons));
    note({table(kPersons, Verdict::Equal)});
    counted.verdict = Verdict::Different;
    note({counted});
    counted.verdict = Verdict::Equal;
    note({counted});
    EXPECT_THAT(found_.tables(), IsEmpty());
}

TEST_F(Found, ATableThatTheFlowDoesNotCarryAnyMoreIsForgotten) {
    note({table(kPersons, Verdict::Different)});
    note({table(kParcels, Verdict::Equal)}, true);
    EXPECT_THAT(found_.tables(), IsEmpty());
}

TEST_F(Found, IsTheSameAfterARestart) {
    note({sample(kPersons, Verdict::Different)});
    auto rows = table(kParcels, Verdict::Different);
    rows.level = Level::Table;
    note({rows});
    const FoundDifferent::ByFlow flows{{"a \"flow\"", found_}, {"equal", {}}};
    const auto again = FoundDifferent::parse(FoundDifferent::to_json(flows));
    ASSERT_TRUE(again) << again.error().to_string();
    EXPECT_EQ(*again, (FoundDifferent::ByFlow{{"a \"flow\"", found_}}));
    for (const auto* damaged : {"", "{}", "[1]", "[{\"flow\": \"a\"}]"}) {
        EXPECT_FALSE(FoundDifferent::parse(damaged)) << damaged;
    }
}

}  // namespace
}  // namespace qiao::agent
