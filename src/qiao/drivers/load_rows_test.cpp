#include "qiao/drivers/load_rows.h"

#include <gtest/gtest.h>

namespace qiao::drivers {
namespace {

model::TableSchema three_columns() {
    model::TableSchema schema;
    schema.columns = {{.name = "a"}, {.name = "made"}, {.name = "b"}};
    schema.columns[1].generated = true;
    return schema;
}

std::vector<model::Value> values_of(const Bytes& tuple) {
    return model::Tuple::parse(tuple).value().values();
}

TEST(LoadRows, TakesRowsOfCopysTextWithItsEscapes) {
    const std::string text = "1\t\\N\n\\\\N\ttab\\tline\\nback\\\\slash\n\t张三\n";
    ByteReader in(as_bytes(text));
    const auto one = take_tuple(LoadFormat::PgCopyText, three_columns(), in);
    ASSERT_TRUE(one);
    EXPECT_EQ(as_text(values_of(*one)[0].bytes), "1");
    EXPECT_EQ(values_of(*one)[1].kind, model::ValueKind::Null) << "generated: not in the bulk";
    EXPECT_EQ(values_of(*one)[2].kind, model::ValueKind::Null);
    const auto two = take_tuple(LoadFormat::PgCopyText, three_columns(), in);
    ASSERT_TRUE(two);
    EXPECT_EQ(as_text(values_of(*two)[0].bytes), "\\N") << "a text that looks like null";
    EXPECT_EQ(as_text(values_of(*two)[2].bytes), "tab\tline\nback\\slash");
    const auto three = take_tuple(LoadFormat::PgCopyText, three_columns(), in);
    ASSERT_TRUE(three);
    EXPECT_EQ(as_text(values_of(*three)[0].bytes), "");
    EXPECT_EQ(as_text(values_of(*three)[2].bytes), "张三");
    EXPECT_TRUE(in.at_end());
}

TEST(LoadRows, TakesRowsOfCopysBinary) {
    const std::string rows("\0\2\0\0\0\3abc\377\377\377\377\0\2\0\0\0\0\0\0\0\1\t", 24);
    ByteReader in(as_bytes(rows));
    const auto one = take_tuple(LoadFormat::PgCopyBinary, three_columns(), in);
    ASSERT_TRUE(one);
    EXPECT_EQ(as_text(values_of(*one)[0].bytes), "abc");
    EXPECT_EQ(values_of(*one)[0].kind, model::ValueKind::Binary);
    EXPECT_EQ(values_of(*one)[2].kind, model::ValueKind::Null);
    const auto two = take_tuple(LoadFormat::PgCopyBinary, three_columns(), in);
    ASSERT_TRUE(two);
    EXPECT_EQ(as_text(values_of(*two)[0].bytes), "");
    EXPECT_EQ(as_text(values_of(*two)[2].bytes), "\t");
    EXPECT_TRUE(in.at_end());
}

TEST(LoadRows, RefusesEveryRowThatIsCutOrOfAnotherWidth) {
    const std::string text = "1\tx\n";
    const std::string binary("\0\2\0\0\0\1a\0\0\0\1b", 12);
    for (const auto& [format, rows] :
         {std::pair(LoadFormat::PgCopyText, text), std::pair(LoadFormat::PgCopyBinary, binary)}) {
        for (size_t size = 0; size < rows.size(); ++size) {
            ByteReader in(as_bytes(rows).first(size));
            EXPECT_FALSE(take_tuple(format, three_columns(), in)) << size;
        }
        auto wider = three_columns();
        wider.columns.push_back({.name = "c"});
        ByteReader in(as_bytes(rows));
        EXPECT_FALSE(take_tuple(format, wider, in));
    }
    ByteReader in(as_bytes("1\tx\ty\n"));
    EXPECT_FALSE(take_tuple(LoadFormat::PgCopyText, three_columns(), in)) << "too many";
}

// Source: rules 4
TEST(LoadRows, WithholdsFromARowOnlyWhatIsOverTheLimit) {
    const auto row = "1\t" + std::string(20, 'x') + "\n";
    const auto format = LoadFormat::PgCopyText;
    EXPECT_FALSE(withhold_row(format, three_columns(), as_bytes(row), 20).value());
    const auto kept = withhold_row(format, three_columns(), as_bytes(row), 19).value();
    ASSERT_TRUE(kept);
    EXPECT_EQ(as_text(values_of(*kept)[0].bytes), "1");
    EXPECT_EQ(values_of(*kept)[2].kind, model::ValueKind::Withheld);
    EXPECT_FALSE(withhold_row(format, three_columns(), as_bytes(row + row), 19));
}

}  // namespace
}  // namespace qiao::drivers
