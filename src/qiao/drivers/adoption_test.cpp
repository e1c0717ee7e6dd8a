#include "qiao/drivers/adoption.h"

#include <gmock/gmock.h>

namespace qiao::drivers {
namespace {

using Kind = AdoptionStep::Kind;
using model::TableSchema;

model::Column column(
    std::string name, std::string type = "pg_catalog.int4", int32_t modifier = -1
) {
    model::Column made;
    made.name = std::move(name);
    made.type = std::move(type);
    made.modifier = modifier;
    made.key = made.not_null = made.name == "id";
    return made;
}

TableSchema table(std::vector<model::Column> columns) {
    return {{"public", "t"}, model::Identity::PrimaryKey, std::move(columns)};
}

/// The same table at a target.
TargetTable at_target(const TableSchema& schema) {
    TargetTable target;
    target.name = schema.table;
    for (const auto& one : schema.columns) {
        target.columns.push_back({one.name, one.type, one.modifier, one.not_null});
        if (one.key) {
            target.primary_key.push_back(one.name);
        }
    }
    return target;
}

std::vector<std::pair<Kind, std::string>> steps(
    const TableSchema& before, const TableSchema& now, const TargetTable& target
) {
    std::vector<std::pair<Kind, std::string>> told;
    for (const auto& step : adoption_steps(before, now, target)) {
        told.emplace_back(step.kind, step.column);
    }
    return told;
}

using Steps = std::vector<std::pair<Kind, std::string>>;

// Spec: R-48
TEST(Adoption, FollowsEachChangeOfColumns) {
    const auto before = table({column("id"), column("a"), column("b")});
    const auto target = at_target(before);
    EXPECT_EQ(
        steps(before, table({column("id"), column("a"), column("b"), column("c")}), target),
        (Steps{{Kind::Add, "c"}})
    );
    EXPECT_EQ(
        steps(before, table({column("id"), column("b")}), target), (Steps{{Kind::Drop, "a"}})
    );
    EXPECT_EQ(
        steps(before, table({column("id"), column("x"), column("b")}), target),
        (Steps{{Kind::Rename, "a"}})
    );
    EXPECT_EQ(
        steps(before, table({column("id"), column("a", "pg_catalog.int8"), column("b")}), target),
        (Steps{{Kind::Type, "a"}})
    );
    EXPECT_EQ(
        steps(before, table({column("id"), column("x", "pg_catalog.text"), column("b")}), target),
        (Steps{{Kind::Drop, "a"}, {Kind::Add, "x"}})
    );
}

TEST(Adoption, FollowsLengthsAndKeys) {
    const auto before = table({column("id"), column("v", "pg_catalog.varchar", 14)});
    const auto target = at_target(before);
    auto now = before;
    now.columns[1].modifier = 24;
    EXPECT_EQ(steps(before, now, target), (Steps{{Kind::Type, "v"}}));
    EXPECT_TRUE(fits(before, target));
    EXPECT_FALSE(fits(now, target));
    now = before;
    now.columns[1].key = true;
    const auto key = adoption_steps(before, now, target);
    ASSERT_EQ(key.size(), 1U);
    EXPECT_EQ(key[0].kind, Kind::Key);
    EXPECT_THAT(key[0].key, testing::ElementsAre("id", "v"));
    now = before;
    now.columns[0].name = "number";
    EXPECT_EQ(steps(before, now, target), (Steps{{Kind::Rename, "id"}})) << "the key goes along";
}

// Spec: R-25
TEST(Adoption, LeavesWhatTheTargetHasOnPurpose) {
    const auto before = table({column("id"), column("a"), column("v", "pg_catalog.varchar", 14)});
    auto other = before;
    other.columns[1].type = "pg_catalog.int8";
    other.columns[2].type = "pg_catalog.text";
    other.columns[2].modifier = -1;
    auto now = before;
    now.columns[1].type = "pg_catalog.numeric";
    now.columns[2].modifier = 24;
    EXPECT_TRUE(steps(before, now, at_target(other)).empty());
    EXPECT_TRUE(steps(before, now, at_target(now)).empty()) << "done before the source did it";
    EXPECT_TRUE(steps(before, before, at_target(before)).empty());
    auto domain = before;
    domain.columns[1].type = "public.positive";
    EXPECT_TRUE(steps(domain, before, at_target(domain)).empty())
        << "a log tells the type below it";
}

}  // namespace
}  // namespace qiao::drivers
