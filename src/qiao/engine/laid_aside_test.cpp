#include "qiao/engine/laid_aside.h"

#include "qiao/testing/manual_world.h"

#include <gtest/gtest.h>

#include <random>

namespace qiao::engine {
namespace {

using testing::ManualWorld;

class LaidAside : public ::testing::Test {
protected:
    LaidAside()
        : world_(1),
          key_(crypto::PrivateKey::generate(crypto::KeyKind::P256)),
          stream_(world_.make_id<StreamId>()),
          seal_(*LaidAsideSeal::make(
              *crypto::find_suite(crypto::SuiteId::Intl),
              *key_->public_key(),
              stream_,
              world_,
              world_
          )) {
        head_.xid = 7;
        head_.commit = model::SourcePosition::lsn(1, 1, 100);
        head_.end = model::SourcePosition::lsn(1, 1, 200);
        head_.origin = "a,b";
    }

    model::Change update(size_t bytes) {
        model::TupleBuilder before(1);
        before.text("before");
        model::TupleBuilder after(1);
        after.text(std::string(bytes, 'x'));
        images_ = {std::move(before).take(), std::move(after).take()};
        model::Change change;
        change.op = model::Op::Update;
        change.old_image = model::OldImage::Full;
        change.old_row = *model::Tuple::parse(images_[0]);
        change.new_row = *model::Tuple::parse(images_[1]);
        change.tolerant = true;
        return change;
    }

    ManualWorld world_;
    std::shared_ptr<const crypto::PrivateKey> key_;
    StreamId stream_;
    LaidAsideSeal seal_;
    model::TransactionHead head_;
    std::vector<Bytes> images_;
};

// Spec: R-74
TEST_F(LaidAside, ComesBackAsItWasWhateverItsSize) {
    for (const size_t bytes : {size_t{1}, size_t{5} << 20U, size_t{30} << 20U}) {
        const auto change = update(bytes);
        const auto sealed = seal_.seal(head_, change);
        ASSERT_TRUE(sealed);
        const auto opened = LaidAsideOpener(stream_, {key_}).open(*sealed);
        ASSERT_TRUE(opened) << opened.error().to_string();
        EXPECT_EQ(opened->change.op, change.op);
        EXPECT_EQ(opened->change.old_image, change.old_image);
        EXPECT_TRUE(std::ranges::equal(opened->change.old_row.bytes(), images_[0]));
        EXPECT_TRUE(std::ranges::equal(opened->change.new_row.bytes(), images_[1]));
        EXPECT_TRUE(opened->change.tolerant);
        EXPECT_EQ(opened->head.xid, head_.xid);
        EXPECT_EQ(opened->head.commit, head_.commit);
        EXPECT_EQ(opened->head.end, head_.end);
        EXPECT_EQ(opened->head.origin, head_.origin);
    }
}

// Spec
TEST_F(LaidAside, OpensForNobodyElseAndForNoOtherStream) {
    const auto sealed = *seal_.seal(head_, update(10));
    const std::shared_ptr<const crypto::PrivateKey> other =
        crypto::PrivateKey::generate(crypto::KeyKind::P256);
    const auto refused = LaidAsideOpener(stream_, {other}).open(sealed);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), ErrorCode::CryptoWrongKey);
    EXPECT_FALSE(LaidAsideOpener(world_.make_id<StreamId>(), {key_}).open(sealed));
}

TEST_F(LaidAside, IsRefusedWhereverAByteOfItIsAltered) {
    const auto sealed = *seal_.seal(head_, update(10));
    std::mt19937_64 random(5);
    for (int i = 0; i < 300; ++i) {
        auto altered = sealed;
        const auto at = random() % altered.size();
        altered[at] ^= static_cast<std::byte>(1U << (random() % 8));
        EXPECT_FALSE(LaidAsideOpener(stream_, {key_}).open(altered)) << "byte " << at;
        EXPECT_FALSE(LaidAsideOpener(stream_, {key_}).open(ByteView(sealed).first(at)))
            << "cut at " << at;
    }
}

}  // namespace
}  // namespace qiao::engine
