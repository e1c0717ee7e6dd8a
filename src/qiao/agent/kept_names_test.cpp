#include "qiao/agent/kept_names.h"

#include "qiao/testing/manual_world.h"
#include "qiao/testing/memory_storage.h"

#include <gtest/gtest.h>

namespace qiao::agent {
namespace {

model::Mapping renamed(const std::string& from, const std::string& to) {
    model::Mapping names;
    names.rename({"a", from}, {{"b", to}, {}});
    return names;
}

class KeptNames : public ::testing::Test {
protected:
    Result<model::Mapping> keep(model::Mapping given) {
        return world_.run(keep_names(storage_, "state", std::move(given)));
    }

    void SetUp() override { ASSERT_TRUE(world_.run(storage_.make_folder("state"))); }

    testing::ManualWorld world_{1};
    testing::MemoryStorage storage_{world_};
};

// Spec: R-25
TEST_F(KeptNames, ARunThatLeavesANameOutGoesOnUnderTheOneOfBefore) {
    EXPECT_TRUE(keep({})->empty());
    ASSERT_TRUE(keep(renamed("person \"x\"", "人")));
    const auto names = keep({});
    ASSERT_TRUE(names);
    EXPECT_EQ(names->target_of(model::TableName{"a", "person \"x\""}).name, "人");
    const auto more = keep(renamed("house", "home"));
    ASSERT_TRUE(more);
    EXPECT_EQ(more->tables().size(), 2U);
}

TEST_F(KeptNames, AnotherNameThanBeforeIsRefused) {
    ASSERT_TRUE(keep(renamed("person", "people")));
    const auto other = keep(renamed("person", "persons"));
    ASSERT_FALSE(other);
    EXPECT_EQ(other.error().code(), ErrorCode::Config);
    EXPECT_TRUE(keep(renamed("person", "people")));
}

}  // namespace
}  // namespace qiao::agent
