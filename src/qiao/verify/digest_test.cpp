#include "qiao/verify/digest.h"

#include "qiao/testing/manual_world.h"
#include "qiao/verify/internal/listing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

namespace qiao::verify {
namespace {

using model::Tuple;
using model::TupleBuilder;

Bytes taken(model::TupleBuilder& builder) { return std::move(builder).take(); }

RunKey some_key(uint64_t seed) {
    testing::ManualWorld world(seed);
    return world.make_id<RunKey>();
}

RowDigest digest_of(const Bytes& row, uint64_t seed = 1) {
    return Digester(some_key(seed)).row(Tuple::parse(row).value());
}

// Spec: R-35
TEST(RowDigest, TellsApartWhatLooksAlike) {
    const std::vector<Bytes> rows = {
        taken(TupleBuilder(2).text("").text("x")),
        taken(TupleBuilder(2).null().text("x")),
        taken(TupleBuilder(2).text("x").text("")),
        taken(TupleBuilder(2).text("ab").text("c")),
        taken(TupleBuilder(2).text("a").text("bc")),
        taken(TupleBuilder(2).text("bc").text("a")),
        taken(TupleBuilder(1).text("abc")),
        taken(TupleBuilder(2).text("1.0").text("0.0")),
        taken(TupleBuilder(2).text("1.00").text("0.0")),
        taken(TupleBuilder(2).text("1.0").text("-0.0")),
        taken(TupleBuilder(2).null().null()),
        taken(TupleBuilder(3).null().null().null()),
    };
    std::set<RowDigest> digests;
    for (const auto& row : rows) {
        digests.insert(digest_of(row));
    }
    EXPECT_EQ(digests.size(), rows.size());
}

TEST(RowDigest, OfTwoRunsHaveNothingInCommon) {
    const auto row = taken(TupleBuilder(1).text("x"));
    EXPECT_NE(digest_of(row, 1), digest_of(row, 2));
    EXPECT_EQ(digest_of(row, 1), digest_of(row, 1));
}

TEST(RowDigest, OfAColumnIsBoundToItsPlace) {
    Digester digester(some_key(1));
    const auto row = taken(TupleBuilder(3).text("x").text("x").null());
    const auto columns = digester.columns(Tuple::parse(row).value());
    ASSERT_EQ(columns.size(), 3U);
    EXPECT_NE(columns[0], columns[1]);
    const auto other = taken(TupleBuilder(3).text("x").text("y").text(""));
    const auto others = digester.columns(Tuple::parse(other).value());
    EXPECT_EQ(columns[0], others[0]);
    EXPECT_NE(columns[1], others[1]);
    EXPECT_NE(columns[2], others[2]);
}

TEST(Fold, DoesNotDependOnTheOrderAndKeepsPairs) {
    std::mt19937_64 random(4);
    std::vector<RowDigest> rows;
    for (int i = 0; i < 200; ++i) {
        rows.push_back(digest_of(taken(TupleBuilder(1).text(std::to_string(i % 50)))));
    }
    Fold forward;
    for (const auto& row : rows) {
        forward.add(row);
    }
    std::ranges::shuffle(rows, random);
    Fold shuffled;
    for (const auto& row : rows) {
        shuffled.add(row);
    }
    EXPECT_EQ(forward, shuffled);
    // An exclusive or would forget the pair; so would a count without a sum a swap of two rows.
    Fold twice = forward;
    twice.add(rows[0]);
    twice.add(rows[0]);
    EXPECT_NE(twice.low, forward.low);
    Fold in_parts;
    for (const auto& row : rows) {
        Fold one;
        one.add(row);
        in_parts.add(one);
    }
    EXPECT_EQ(in_parts, forward);
}

TEST(Fold, CarriesIntoItsUpperHalf) {
    Fold fold{1, ~uint64_t{0}, 7};
    fold.add(Fold{1, 1, 0});
    EXPECT_EQ(fold, (Fold{2, 0, 8}));
}

TEST(Bucket, IsAPrefixOfTheDigest) {
    RowDigest digest;
    digest.bytes[0] = std::byte{0xAB};
    digest.bytes[1] = std::byte{0xCD};
    digest.bytes[2] = std::byte{0xE0};
    EXPECT_EQ(bucket_of(digest, 0), 0U);
    EXPECT_EQ(bucket_of(digest, 4), 0xAU);
    EXPECT_EQ(bucket_of(digest, 16), 0xABCDU);
    EXPECT_EQ(bucket_of(digest, 20), 0xABCDEU);
}

// Against a map: any number of copies in little room, keys kept, overflow only by distinct rows.
TEST(Listing, GathersByKeyInBoundedRoom) {
    for (uint64_t seed = 1; seed <= 50; ++seed) {
        std::mt19937_64 random(seed);
        const auto distinct = 1 + random() % 40;
        internal::Listing listing(30);
        std::map<RowDigest, std::pair<Fold, Bytes>> expected;
        for (int i = 0; i < 2000; ++i) {
            const auto key = taken(TupleBuilder(1).text(std::to_string(random() % distinct)));
            const auto value = taken(TupleBuilder(1).text(std::to_string(random())));
            const auto digest = digest_of(key);
            listing.add(digest, digest_of(value), key);
            expected[digest].first.add(digest_of(value));
            expected[digest].second = key;
        }
        const auto entries = listing.finish();
        ASSERT_EQ(listing.overflow(), expected.size() > 30);
        if (listing.overflow()) {
            EXPECT_TRUE(entries.empty());
            continue;
        }
        ASSERT_EQ(entries.size(), expected.size());
        auto place = expected.begin();
        for (const auto& entry : entries) {
            EXPECT_EQ(entry.key, place->first);
            EXPECT_EQ(entry.rows, place->second.first);
            EXPECT_EQ(to_bytes(listing.key_of(entry.key)), place->second.second);
            ++place;
        }
        EXPECT_TRUE(listing.key_of(RowDigest()).empty());
    }
}

}  // namespace
}  // namespace qiao::verify
