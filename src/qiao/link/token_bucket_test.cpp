#include "qiao/link/token_bucket.h"

#include <gtest/gtest.h>

#include <random>

namespace qiao::link {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr MonoTime kStart{std::chrono::hours(1)};

// Spec: R-77
TEST(TokenBucket, HoldsTheMeanRateWhateverTheSizes) {
    std::mt19937_64 random(5);
    constexpr uint64_t kRate = 50'000;
    TokenBucket bucket(kRate, kStart);
    auto now = kStart;
    uint64_t sent = 0;
    while (now < kStart + seconds(1000)) {
        const auto size = random() % 2 == 0 ? random() % 100 : random() % 1'000'000;
        bucket.take(size, now);
        sent += size;
        now = bucket.ready_at(now);
    }
    const std::chrono::duration<double> took = now - kStart;
    EXPECT_NEAR(static_cast<double>(sent) / took.count(), kRate, kRate * 0.001);
}

TEST(TokenBucket, SavesUpLittleWhenIdle) {
    TokenBucket bucket(1000, kStart);
    const auto later = kStart + std::chrono::hours(5);
    bucket.take(1100, later);
    EXPECT_EQ(bucket.ready_at(later), later + seconds(1));
}

TEST(TokenBucket, KeepsADebtInBytesWhenTheRateChanges) {
    TokenBucket bucket(1000, kStart);
    bucket.take(10'000, kStart);
    bucket.set_rate(2000, kStart);
    EXPECT_EQ(bucket.ready_at(kStart), kStart + seconds(5));
    bucket.set_rate(0, kStart);
    EXPECT_EQ(bucket.ready_at(kStart), kStart);
}

TEST(TokenBucket, LetsEverythingPassWithoutALimit) {
    TokenBucket bucket(0, kStart);
    bucket.take(1'000'000'000'000, kStart);
    EXPECT_EQ(bucket.ready_at(kStart), kStart);
}

}  // namespace
}  // namespace qiao::link
