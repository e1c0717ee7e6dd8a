#include "qiao/model/mapping.h"

#include <gtest/gtest.h>

namespace qiao::model {
namespace {

// Spec: R-25
TEST(Mapping, RenamesTablesAndColumnsAndLeavesTheRest) {
    Mapping mapping;
    mapping.rename({"a", "person"}, {{"b", "ren"}, {{"id", "bianhao"}}});
    const TableSchema person{
        {"a", "person"}, Identity::PrimaryKey, {{.name = "id"}, {.name = "x"}}
    };
    const auto renamed = mapping.target_of(person);
    EXPECT_EQ(renamed.table, (TableName{"b", "ren"}));
    EXPECT_EQ(renamed.columns[0].name, "bianhao");
    EXPECT_EQ(renamed.columns[1].name, "x");
    const TableSchema other{{"a", "other"}, Identity::None, {{.name = "id"}}};
    EXPECT_EQ(mapping.target_of(other), other);
}

TEST(Mapping, SaysOnlyWhatConcernsTheTablesAskedFor) {
    Mapping mapping;
    mapping.rename({"a", "person"}, {{"b", "ren"}, {{"id", "bianhao"}}});
    mapping.rename({"a", "house"}, {{"b", "fang"}, {}});
    EXPECT_EQ(mapping.table_names().at({"a", "house"}), (TableName{"b", "fang"}));
    const auto part = mapping.of({{"a", "person"}, {"a", "other"}});
    EXPECT_EQ(part.tables().size(), 1U);
    EXPECT_EQ(part.tables().at({"a", "person"}).columns.at("id"), "bianhao");
    EXPECT_NE(part, mapping);
    EXPECT_TRUE(mapping.of({{"a", "other"}}).empty());
}

}  // namespace
}  // namespace qiao::model
