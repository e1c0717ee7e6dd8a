#include "qiao/drivers/postgres/structure/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qiao::drivers::postgres {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const CharacterSet kUtf8{.name = "UTF8", .bytes_max = 4, .counts_bytes = false};
const CharacterSet kGb18030{.name = "GB18030", .bytes_max = 4, .counts_bytes = false};
const CharacterSet kAscii{.name = "SQL_ASCII", .bytes_max = 1, .counts_bytes = true};

ColumnShape column(std::string type, int32_t length = -1) {
    ColumnShape shape;
    shape.name = "c";
    shape.type = type;
    shape.base = std::move(type);
    shape.length = length;
    return shape;
}

DatabaseShape database(std::vector<ColumnShape> columns, const CharacterSet& characters = kUtf8) {
    DatabaseShape shape;
    shape.characters = characters;
    shape.tables.emplace_back(std::in_place);
    shape.tables.back()->name = {"public", "t"};
    shape.tables.back()->columns = std::move(columns);
    return shape;
}

std::vector<Finding> compare(const DatabaseShape& source, const DatabaseShape& target) {
    return compare_shapes({{{"public", "t"}, {"public", "t"}}}, source, target);
}

std::vector<std::string> mends(const DatabaseShape& source, const DatabaseShape& target) {
    std::vector<std::string> list;
    for (const auto& finding : compare(source, target)) {
        list.push_back(finding.mend);
    }
    return list;
}

std::vector<std::string> mends(const ColumnShape& source, const ColumnShape& target) {
    return mends(database({source}), database({target}));
}

// Spec: R-47
TEST(CompareShapes, NamesALengthThatIsTooShort) {
    EXPECT_THAT(
        mends(column("character varying(20)", 20), column("character varying(10)", 10)),
        ElementsAre("ALTER TABLE \"public\".\"t\" ALTER COLUMN \"c\" TYPE character varying(20) "
                    "USING \"c\"::character varying(20);")
    );
    EXPECT_THAT(
        mends(column("character varying(10)", 10), column("character varying(20)", 20)), IsEmpty()
    );
    EXPECT_THAT(mends(column("text"), column("character varying(10)", 10)), testing::SizeIs(1));
}

// Spec: R-47
TEST(CompareShapes, WidensWhereTheTargetCountsBytes) {
    EXPECT_EQ(length_needed(10, kGb18030, kAscii), 40);
    EXPECT_EQ(length_needed(10, kGb18030, kUtf8), 10);
    EXPECT_EQ(length_needed(-1, kGb18030, kAscii), -1);
    const auto found = compare(
        database({column("character varying(10)", 10)}),
        database({column("character varying(10)", 10)}, kAscii)
    );
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(found[0].subject, "encoding");
    EXPECT_EQ(found[1].subject, "public.t.c");
    EXPECT_THAT(found[1].mend, testing::HasSubstr("TYPE character varying(40)"));
}

TEST(CompareShapes, TakesWiderNumbersAndRefusesOtherScales) {
    EXPECT_THAT(mends(column("integer"), column("bigint")), IsEmpty());
    EXPECT_THAT(mends(column("bigint"), column("integer")), testing::SizeIs(1));
    EXPECT_THAT(mends(column("numeric(10,2)"), column("numeric(12,2)")), IsEmpty());
    EXPECT_THAT(mends(column("numeric(10,2)"), column("numeric")), IsEmpty());
    EXPECT_THAT(mends(column("numeric(10,2)"), column("numeric(9,2)")), testing::SizeIs(1));
    EXPECT_THAT(mends(column("numeric(10,2)"), column("numeric(12,3)")), testing::SizeIs(1));
    EXPECT_THAT(mends(column("numeric"), column("numeric(12,3)")), testing::SizeIs(1));
    EXPECT_THAT(mends(column("real"), column("double precision")), testing::SizeIs(1));
}

TEST(CompareShapes, TakesLessPreciseTimesOnlyOneWay) {
    const auto coarse = column("timestamp(3) without time zone");
    const auto fine = column("timestamp without time zone");
    EXPECT_THAT(mends(coarse, fine), IsEmpty());
    EXPECT_THAT(mends(fine, coarse), testing::SizeIs(1));
    EXPECT_THAT(mends(fine, column("timestamp with time zone")), testing::SizeIs(1));
}

TEST(CompareShapes, AddsTheLabelsThatAnEnumerationLacks) {
    auto source = column("public.mood");
    source.labels = {"sad", "it's", "happy"};
    auto target = column("public.mood");
    target.labels = {"happy"};
    EXPECT_THAT(
        mends(source, target),
        ElementsAre(
            "ALTER TYPE public.mood ADD VALUE IF NOT EXISTS 'sad';",
            "ALTER TYPE public.mood ADD VALUE IF NOT EXISTS 'it''s';"
        )
    );
    EXPECT_THAT(mends(target, source), IsEmpty());
}

TEST(CompareShapes, FindsColumnsThatNobodyFills) {
    auto required = column("integer");
    required.not_null = true;
    EXPECT_THAT(
        mends(database({}), database({required})),
        ElementsAre("ALTER TABLE \"public\".\"t\" ALTER COLUMN \"c\" DROP NOT NULL;")
    );
    auto filled = required;
    filled.has_default = true;
    EXPECT_THAT(mends(database({}), database({filled})), IsEmpty());
    EXPECT_THAT(mends(column("integer"), required), testing::SizeIs(1));
    EXPECT_THAT(mends(required, column("integer")), IsEmpty());
    EXPECT_THAT(
        mends(database({column("integer")}), database({})),
        ElementsAre("ALTER TABLE \"public\".\"t\" ADD COLUMN \"c\" integer;")
    );
}

TEST(CompareShapes, FindsGeneratedColumnsOnOneSideOnly) {
    auto generated = column("integer");
    generated.generated = "(a + 1)";
    EXPECT_THAT(
        mends(column("integer"), generated),
        ElementsAre("ALTER TABLE \"public\".\"t\" ALTER COLUMN \"c\" DROP EXPRESSION;")
    );
    EXPECT_THAT(mends(generated, column("integer")), testing::SizeIs(1));
    EXPECT_THAT(mends(generated, generated), IsEmpty());
}

TEST(CompareShapes, WantsTheSourcesKeyInAnyOrder) {
    auto source = database({column("integer")});
    auto target = source;
    source.tables[0]->primary_key = {"a", "b"};
    EXPECT_THAT(
        mends(source, target),
        ElementsAre("ALTER TABLE \"public\".\"t\" ADD PRIMARY KEY (\"a\", \"b\");")
    );
    target.tables[0]->unique_keys = {{"b", "a"}};
    EXPECT_THAT(mends(source, target), IsEmpty());
    target.tables[0]->unique_keys = {{"a"}};
    target.tables[0]->primary_key = {"b"};
    EXPECT_THAT(
        mends(source, target),
        ElementsAre("ALTER TABLE \"public\".\"t\" ADD UNIQUE (\"a\", \"b\");")
    );
}

TEST(CompareShapes, GivesTheSqlOfAMissingTable) {
    auto source = database({column("integer")});
    source.tables[0]->primary_key = {"c"};
    DatabaseShape target;
    target.characters = kUtf8;
    target.tables.resize(1);
    EXPECT_THAT(
        mends(source, target),
        ElementsAre("CREATE TABLE \"public\".\"t\" (\n    \"c\" integer,\n"
                    "    PRIMARY KEY (\"c\")\n);")
    );
}

}  // namespace
}  // namespace qiao::drivers::postgres
