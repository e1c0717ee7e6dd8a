#include "qiao/agent/kept_selection.h"

#include "qiao/testing/manual_world.h"
#include "qiao/testing/memory_storage.h"

#include <gtest/gtest.h>

namespace qiao::agent {
namespace {

const model::TableName kPerson{"city", "人 \"x\""};

class KeptSelection : public ::testing::Test {
protected:
    Result<model::Selection> keep(model::Selection given) {
        return world_.run(keep_selection(storage_, "state", std::move(given)));
    }

    void SetUp() override { ASSERT_TRUE(world_.run(storage_.make_folder("state"))); }

    testing::ManualWorld world_{1};
    testing::MemoryStorage storage_{world_};
};

// Spec: R-12
TEST_F(KeptSelection, ARunThatDoesNotSayItAgainSendsNoMoreThanBefore) {
    EXPECT_TRUE(keep({})->empty());
    const model::TableSelection chosen{{"id", "name"}, "region = 'north'"};
    ASSERT_TRUE(keep({{kPerson, chosen}}));
    EXPECT_EQ(keep({})->at(kPerson), chosen);
    const auto narrower = keep({{kPerson, {{}, "id > 5"}}});
    ASSERT_TRUE(narrower);
    EXPECT_EQ(narrower->at(kPerson), (model::TableSelection{{"id", "name"}, "id > 5"}));
    EXPECT_EQ(*keep({}), *narrower);
}

TEST_F(KeptSelection, TheWholeTableIsOnlySentWhenItIsAskedFor) {
    ASSERT_TRUE(keep({{kPerson, {{"id"}, "id > 5"}}}));
    EXPECT_EQ(keep({{kPerson, {{"*"}, ""}}})->at(kPerson), (model::TableSelection{{}, "id > 5"}));
    EXPECT_TRUE(keep({{kPerson, {{}, "true"}}})->empty());
    EXPECT_TRUE(keep({})->empty());
}

TEST_F(KeptSelection, ADamagedFileIsRefused) {
    const std::string text = "[{\"schema\": 5}]";
    ASSERT_TRUE(world_.run(
        write_file_atomically(storage_, "state/selection.json", to_bytes(as_bytes(text)))
    ));
    const auto damaged = keep({});
    ASSERT_FALSE(damaged);
    EXPECT_EQ(damaged.error().code(), ErrorCode::Config);
}

}  // namespace
}  // namespace qiao::agent
