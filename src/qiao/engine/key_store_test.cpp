#include "qiao/engine/key_store.h"

#include "qiao/engine/line_world_test.h"
#include "qiao/engine/offer.h"
#include "qiao/link/statement.h"

#include <gtest/gtest.h>

namespace qiao::engine {
namespace {

using testing::Holder;
using testing::ManualWorld;

/// So many senders, one after the other, with three packets each: key packets at 1, 4, 7 …
std::vector<Bytes> key_packets(Holder& holder, size_t count) {
    std::vector<Bytes> wires;
    ChainTip tip{{Epoch{1}, Sequence{0}}, {}, {}};
    while (wires.size() < count) {
        auto packer = holder.packer(tip);
        testing::transaction(packer, wires.size() + 1);
        packer.flush();
        wires.push_back(packer.take().front().wire);
        tip = packer.tip();
    }
    return wires;
}

// Source: rules 3
TEST(KeyStore, KeepsEveryKeyThatAPacketInTheTrailMayName) {
    ManualWorld world;
    Holder holder(world);
    holder.open();
    for (const auto& wire : key_packets(holder, 50)) {
        ASSERT_TRUE(world.run(holder.keys->keep(wire)));
    }
    ASSERT_TRUE(world.run(holder.keys->remove_unused({})));
    EXPECT_EQ(holder.keys->size(), 50U);
    // Packets up to 20 are gone: the key of 19 names 21, too.
    ASSERT_TRUE(world.run(holder.keys->remove_unused({Epoch{1}, Sequence{20}})));
    EXPECT_EQ(holder.keys->size(), 44U);
    ASSERT_TRUE(world.run(holder.keys->remove_unused({Epoch{1}, Sequence{1000}})));
    EXPECT_EQ(holder.keys->size(), 16U);
    const auto reopened = world.run(KeyStore::open(holder.disk, "keys"));
    ASSERT_TRUE(reopened);
    EXPECT_EQ(reopened->newest_first(), holder.keys->newest_first());
}

// Source: rules 3
TEST(KeyStore, AnOfferHasTheNewestKeysWhenNotAllFit) {
    ManualWorld world;
    Holder holder(world);
    holder.open();
    const auto wires = key_packets(holder, 400);
    for (const auto& wire : wires) {
        ASSERT_TRUE(world.run(holder.keys->keep(wire)));
    }
    const OfferMetadata metadata{OfferMetadata::Role::Log, "f", holder.keys->newest_first()};
    const auto encoded = metadata.encode();
    EXPECT_LE(encoded.size(), link::kMetadataBytesMax);
    const auto offered = OfferMetadata::decode(encoded);
    ASSERT_TRUE(offered);
    const auto count = offered->key_packets.size();
    ASSERT_GT(count, 50U);
    ASSERT_LT(count, wires.size());
    EXPECT_EQ(
        offered->key_packets,
        std::vector(wires.rbegin(), wires.rbegin() + static_cast<ptrdiff_t>(count))
    );
}

}  // namespace
}  // namespace qiao::engine
