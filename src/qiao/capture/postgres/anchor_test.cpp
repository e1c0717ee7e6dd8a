#include "qiao/capture/postgres/anchor.h"

#include <gtest/gtest.h>

namespace qiao::capture::postgres {
namespace {

const Anchor kKnown = Anchor::of(100, 7, WallTime{5});

TEST(Anchor, IsToldApartByIdAndTime) {
    EXPECT_NE(kKnown, Anchor::of(100, 8, WallTime{5}));
    EXPECT_NE(kKnown, Anchor::of(100, 7, WallTime{6}));
    EXPECT_EQ(kKnown, Anchor::of(100, 7, WallTime{5}));
}

TEST(Anchor, TravelsWithAPositionWithoutOrderingIt) {
    const SystemIdentity system{1, 2};
    const auto bare = system.at(120);
    const auto proven = with_anchor(bare, kKnown);
    EXPECT_EQ(anchor_of(proven), kKnown);
    EXPECT_EQ(anchor_of(bare), std::nullopt);
    EXPECT_EQ(proven, bare);
    EXPECT_TRUE(model::compare(proven, bare) == 0);
    EXPECT_TRUE(model::compare(proven, system.at(121)) < 0);
    EXPECT_EQ(lsn_of(proven), 120U);
    EXPECT_EQ(proven.to_string(), bare.to_string());
    EXPECT_EQ(anchor_of(proven.predecessor()), std::nullopt);

    const auto decoded = model::SourcePosition::decode(proven.encode());
    ASSERT_TRUE(decoded);
    EXPECT_EQ(anchor_of(*decoded), kKnown);
    EXPECT_EQ(*decoded, bare);
}

TEST(Anchor, IsMetBeforeAnythingNew) {
    AnchorCheck check(kKnown);
    EXPECT_FALSE(check.met());
    EXPECT_TRUE(check.see(Anchor::of(90, 3, WallTime{1}))) << "long delivered";
    EXPECT_TRUE(check.passed(100));
    EXPECT_TRUE(check.see(kKnown));
    EXPECT_TRUE(check.met());
    EXPECT_TRUE(check.see(Anchor::of(200, 9, WallTime{9})));
    EXPECT_TRUE(check.passed(1000));
}

TEST(Anchor, ThatIsAnotherTransactionNowTellsAnotherHistory) {
    AnchorCheck check(kKnown);
    EXPECT_TRUE(check.see(Anchor::of(100, 7, WallTime{6})).error().is(ErrorCode::CaptureIdentity));
}

TEST(Anchor, ThatIsMissingTellsAnotherHistory) {
    AnchorCheck check(kKnown);
    EXPECT_TRUE(check.see(Anchor::of(101, 7, WallTime{5})).error().is(ErrorCode::CaptureIdentity));
    EXPECT_TRUE(check.passed(101).error().is(ErrorCode::CaptureIdentity));
}

}  // namespace
}  // namespace qiao::capture::postgres
