#include "qiao/model/tuple.h"

#include "qiao/model/source_position.h"
#include "qiao/model/table.h"
#include "qiao/model/withhold.h"

#include <gtest/gtest.h>

#include <random>

namespace qiao::model {
namespace {

TEST(Tuple, GivesBackWhatWasBuilt) {
    const auto bytes =
        std::move(TupleBuilder(4).null().text("张三").unchanged().binary(as_bytes("\x01"))).take();
    const auto tuple = Tuple::parse(bytes);
    ASSERT_TRUE(tuple);
    const auto values = tuple->values();
    ASSERT_EQ(values.size(), 4U);
    EXPECT_EQ(values[0].kind, ValueKind::Null);
    EXPECT_EQ(as_text(values[1].bytes), "张三");
    EXPECT_EQ(values[2].kind, ValueKind::Unchanged);
    EXPECT_EQ(values[3].kind, ValueKind::Binary);
}

TEST(Tuple, AnEmptyOneHasNoColumns) {
    const Tuple empty;
    EXPECT_EQ(empty.column_count(), 0U);
    EXPECT_TRUE(empty.values().empty());
    EXPECT_FALSE(Tuple::Cursor(empty).more());
    empty.for_each([](size_t, const Value&) { ADD_FAILURE(); });
}

TEST(Tuple, EveryCutIsRefused) {
    const auto bytes = std::move(TupleBuilder(2).text("abc").text("defg")).take();
    for (size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_FALSE(Tuple::parse(ByteView(bytes).first(size))) << size;
    }
}

// Source: rules 4
TEST(Withhold, LeavesOutWhatIsOverTheLimitAndTellsItsSize) {
    TableSchema schema;
    schema.columns = {{.name = "id"}, {.name = "body"}, {.name = "photo"}};
    schema.columns[2].type = "pg_catalog.bytea";
    const std::string text(101, 'x');
    const std::string digits = "\\x" + std::string(196, 'f');
    const auto small = std::move(TupleBuilder(3).text("1").unchanged().text(digits)).take();
    EXPECT_FALSE(withhold(schema, *Tuple::parse(small), 100)) << "99 bytes, written as 198 digits";
    const auto large = std::move(TupleBuilder(3).text("1").text(text).null()).take();
    EXPECT_FALSE(withhold(schema, *Tuple::parse(large), 101));
    const auto kept = withhold(schema, *Tuple::parse(large), 100);
    ASSERT_TRUE(kept);
    const auto values = Tuple::parse(*kept)->values();
    EXPECT_EQ(as_text(values[0].bytes), "1");
    ASSERT_EQ(values[1].kind, ValueKind::Withheld);
    EXPECT_EQ(WithheldValue::of(values[1]).bytes, 101U);
    EXPECT_EQ(WithheldValue::of(values[1]).most, 100U);
    EXPECT_EQ(values[2].kind, ValueKind::Null);
    for (size_t size = 0; size < kept->size(); ++size) {
        EXPECT_FALSE(Tuple::parse(ByteView(*kept).first(size))) << size;
    }
    EXPECT_FALSE(withhold(schema, *Tuple::parse(*kept), 10)) << "what is left is small";
}

TEST(SourcePosition, OfAnotherTimelineIsNotOrdered) {
    const auto a = SourcePosition::lsn(7, 1, 100);
    EXPECT_EQ(compare(a, SourcePosition::lsn(7, 1, 101)), std::partial_ordering::less);
    EXPECT_EQ(compare(a, SourcePosition::lsn(7, 2, 101)), std::partial_ordering::unordered);
    EXPECT_EQ(compare(a, {}), std::partial_ordering::greater);
    EXPECT_EQ(SourcePosition::lsn(7, 1, 0x16B3748).to_string(), "0/16B3748");
}

TEST(SourcePosition, OrderOfBytesIsTheOrderOfNumbers) {
    std::mt19937_64 random(1);
    for (int i = 0; i < 1000; ++i) {
        const auto x = random() >> (random() % 64);
        const auto y = random() >> (random() % 64);
        EXPECT_EQ(
            compare(SourcePosition::lsn(1, 1, x), SourcePosition::lsn(1, 1, y)),
            std::partial_ordering(x <=> y)
        );
    }
}

TEST(TableSchema, IsNamedByItsContent) {
    TableSchema schema{
        {"public", "person"},
        Identity::PrimaryKey,
        {{.name = "id", .type = "pg_catalog.int8", .type_id = 20, .key = true, .not_null = true},
         {.name = "name", .type = "pg_catalog.text", .type_id = 25}}
    };
    const auto copy = TableSchema::decode(schema.encode());
    ASSERT_TRUE(copy);
    EXPECT_EQ(*copy, schema);
    const auto id = schema.id();
    EXPECT_EQ(copy->id(), id);
    schema.columns[1].modifier = 44;
    EXPECT_NE(schema.id(), id);
}

}  // namespace
}  // namespace qiao::model
