#include "qiao/capture/postgres/publication.h"

#include "qiao/capture/postgres/internal/source_fixture.h"

#include <gmock/gmock.h>

namespace qiao::capture::postgres {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class PublicationTest : public internal::SourceFixture {
protected:
    PublicationPlan plan(const std::vector<ChosenTable>& tables) {
        auto facts = loop_.run(read_source_tables(*app_, tables));
        EXPECT_TRUE(facts) << facts.error().to_string();
        auto planned = loop_.run(plan_publications(*app_, stream_, *std::move(facts)));
        EXPECT_TRUE(planned) << planned.error().to_string();
        return *std::move(planned);
    }

    void publish(const std::vector<ChosenTable>& tables) {
        const auto done = loop_.run(apply_publications(*app_, plan(tables)));
        ASSERT_TRUE(done) << done.error().to_string();
        EXPECT_THAT(plan(tables).transactions, IsEmpty()) << "everything is as it should be";
    }

    std::vector<ChosenTable> make_tables(int first, int last) {
        std::vector<ChosenTable> tables;
        std::string all;
        for (int i = first; i < last; ++i) {
            all += "CREATE TABLE many" + std::to_string(i) + " (id int PRIMARY KEY, v text);";
            tables.push_back({{"public", "many" + std::to_string(i)}});
        }
        sql(all);
        return tables;
    }

    std::string published() {
        return select(
                   "SELECT count(*)::text FROM pg_publication_tables WHERE tablename LIKE 'many%'"
        )
            .begin()
            ->front()
            .value_or("");
    }
};

// Each of them is locked until its transaction ends, and a server has room for some thousands.
TEST_F(PublicationTest, ManyTablesArePublishedSomeHundredAtATime) {
    auto tables = make_tables(0, 1203);
    EXPECT_THAT(plan(tables).transactions, SizeIs(3));
    publish(tables);
    EXPECT_EQ(published(), "1203");
    std::ranges::move(make_tables(1203, 1210), std::back_inserter(tables));
    EXPECT_THAT(plan(tables).transactions, ElementsAre(SizeIs(1)));
    publish(tables);
    EXPECT_EQ(published(), "1210");
    tables.resize(3);
    publish(tables);
    EXPECT_EQ(published(), "3");
}

TEST_F(PublicationTest, GoesOnBehindTheTransactionsThatWereCommitted) {
    const auto tables = make_tables(0, 1203);
    auto half = plan(tables);
    half.transactions.resize(2);
    ASSERT_TRUE(loop_.run(apply_publications(*app_, std::move(half))));
    EXPECT_EQ(published(), "1000");
    EXPECT_THAT(plan(tables).transactions, SizeIs(1));
    publish(tables);
    EXPECT_EQ(published(), "1203");
}

// What was published stays so at every moment: the log is read with the publications of its time.
TEST_F(PublicationTest, ATableThatLosesItsKeyMovesInOneTransaction) {
    const auto tables = make_tables(0, 700);
    publish(tables);
    sql("ALTER TABLE many650 DROP CONSTRAINT many650_pkey");
    EXPECT_THAT(plan(tables).transactions, ElementsAre(SizeIs(2)));
    publish(tables);
    EXPECT_EQ(published(), "700");
}

TEST_F(PublicationTest, AnotherConditionOfOneTableLeavesTheOthersAlone) {
    auto tables = make_tables(0, 4);
    tables[1].where = "id > 10";
    tables[2].where = "id > 20";
    publish(tables);
    tables[1].where = "id > 11";
    const auto changed = plan(tables);
    ASSERT_THAT(changed.transactions, SizeIs(1));
    for (const auto& statement : changed.transactions.front()) {
        EXPECT_THAT(statement, testing::Not(HasSubstr("many0")));
        EXPECT_THAT(statement, testing::AnyOf(HasSubstr("COMMENT"), HasSubstr("many1")));
    }
    publish(tables);
    tables[2].where.clear();
    publish(tables);
    const auto conditional =
        select("SELECT tablename::text FROM pg_publication_tables WHERE rowfilter IS NOT NULL");
    EXPECT_EQ(conditional.size(), 1U);
}

// A list of columns that somebody gave one of our tables would leave others' values behind.
TEST_F(PublicationTest, AListOfColumnsByOtherHandsIsTakenBack) {
    const auto tables = make_tables(0, 3);
    publish(tables);
    const auto name = publication_name(stream_);
    sql("ALTER PUBLICATION " + name + " DROP TABLE many1; ALTER PUBLICATION " + name +
        " ADD TABLE many1 (id)");
    publish(tables);
    const auto narrow = select("SELECT 1 FROM pg_publication_rel WHERE prattrs IS NOT NULL");
    EXPECT_EQ(narrow.size(), 0U);
}

}  // namespace
}  // namespace qiao::capture::postgres
