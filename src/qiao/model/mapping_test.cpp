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

}  // namespace
}  // namespace qiao::model
