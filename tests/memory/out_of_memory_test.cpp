#include "qiao/agent/two_agents_test.h"

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <new>
#include <sys/wait.h>
#include <unistd.h>

// Each allocation on a row's way is the last one that a process makes. What a row's way needs
// beyond that, its bounds, is in docs/architecture.md. The handler of the program ends the process
// where it stands (docs/adr/0023-out-of-memory.md); here it stands still for good, and a new world
// goes on from what the disks and databases hold.
namespace {

struct Countdown {
    bool armed = false;
    uint64_t left = 0;  ///< allocations until one fails; the last one is 1
    uint64_t met = 0;   ///< while armed
    std::function<void()> end;
};

Countdown& countdown() {
    static Countdown it;
    return it;
}

void* allocate(std::size_t bytes, std::size_t alignment) {
    static bool inside = false;
    if (!inside) {
        inside = true;
        auto& count = countdown();
        inside = false;
        if (count.armed && ++count.met == count.left) {
            count.armed = false;
            count.end();
        }
    }
    if (alignment <= alignof(std::max_align_t)) {
        return std::malloc(bytes);
    }
    return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes, 1); }

void* operator new(std::size_t bytes, std::align_val_t alignment) {
    return allocate(bytes, static_cast<std::size_t>(alignment));
}

void operator delete(void* memory) noexcept { std::free(memory); }

void operator delete(void* memory, std::size_t /*bytes*/) noexcept { std::free(memory); }

void operator delete(void* memory, std::align_val_t /*alignment*/) noexcept { std::free(memory); }

void operator delete(
    void* memory, std::size_t /*bytes*/, std::align_val_t /*alignment*/
) noexcept {
    std::free(memory);
}

namespace qiao::agent {
namespace {

using namespace testing;

constexpr const char* kFlow = "persons";

/// Two nodes with one flow and small bounds.
std::unique_ptr<TwoAgents> make_world(uint64_t seed) {
    static const auto key = crypto::PrivateKey::generate(crypto::KeyKind::P256);
    auto all = std::make_unique<TwoAgents>(seed, engine::Custody::Hop);
    for (auto* side : {&all->city, &all->province}) {
        side->config.flows.resize(1);
        side->config.trail.segment_bytes = 64U << 10U;
    }
    all->city.config.flows.front().suite = "intl";
    all->city.identity.receivers[kFlow] = key->public_key();
    all->province.identity.wrapping = {key};
    return all;
}

void start(TwoAgents& all) {
    all.start(all.province);
    all.start(all.city);
}

bool arrived(TwoAgents& all) { return all.target_rows(kFlow) == all.source(kFlow).rows(); }

void wait_for_rows(TwoAgents& all, int seconds_most) {
    for (int i = 0; i < 10 * seconds_most && !arrived(all); ++i) {
        all.wait(milliseconds(100));
    }
    EXPECT_TRUE(arrived(all));
}

/// Time passes; only what the nodes allocate meanwhile counts.
void pass(TwoAgents& all, Duration duration) {
    countdown().armed = true;
    all.wait(duration);
    countdown().armed = false;
}

void pass_until_arrived(TwoAgents& all) {
    for (int i = 0; i < 50 && !arrived(all); ++i) {
        pass(all, milliseconds(100));
    }
    pass(all, milliseconds(500));  // what was applied is said and written down
}

/// In the process that has run out: the next one begins with what is left.
void restart(TwoAgents& dead, bool machine_too, uint64_t seed) {
    if (machine_too) {
        for (auto* side : {&dead.city, &dead.province}) {
            side->disk->crash();
            side->disk->restart();
        }
    }
    auto all = make_world(seed);
    all->take_over(dead);
    all->expect_exact(kFlow);
    start(*all);
    wait_for_rows(*all, 60);
    all->source(kFlow).insert(900, "written after the restart");
    wait_for_rows(*all, 20);
    all->expect_exact(kFlow);
    EXPECT_EQ(all->flow(all->province, kFlow).divergences, 0U);
    EXPECT_EQ(all->target_database.counters().unlocked_commits, 0U);
    for (auto* side : {&all->city, &all->province}) {
        EXPECT_FALSE(all->flow(*side, kFlow).last_error);
    }
}

enum Exit : int { kExact = 0, kFailed = 1, kNotMet = 2 };

/// In a process of its own: the n-th allocation of `work` fails.
[[noreturn]] void run_out(
    TwoAgents& all, const std::function<void()>& work, uint64_t n, bool machine_too
) {
    const auto end = [&all, n, machine_too] {
        restart(all, machine_too, n);
        std::fflush(stdout);
        std::_Exit(::testing::Test::HasFailure() ? kFailed : kExact);
    };
    countdown() = {false, n, 0, end};
    work();
    EXPECT_TRUE(arrived(all));
    std::fflush(stdout);
    std::_Exit(::testing::Test::HasFailure() ? kFailed : kNotMet);
}

/// Lets the n-th allocation of `work` fail for n = 1, 1 + stride, 1 + 2 * stride … until it runs to
/// its end. How many it were.
uint64_t sweep(TwoAgents& all, const std::function<void()>& work, uint64_t stride = 1) {
    uint64_t points = 0;
    for (uint64_t n = 1;; n += stride) {
        std::fflush(stdout);
        const auto child = ::fork();
        if (child == 0) {
            run_out(all, work, n, points % 2 == 0);
        }
        int status = 0;
        if (::waitpid(child, &status, 0) != child || !WIFEXITED(status) ||
            WEXITSTATUS(status) == kFailed) {
            ADD_FAILURE() << "allocation " << n << ": status " << status;
            return points;
        }
        if (WEXITSTATUS(status) == kNotMet) {
            std::cout << points << " of " << n - 1 << " allocations failed\n";
            return points;
        }
        ++points;
    }
}

// Spec
TEST(OutOfMemory, AtAnyAllocationOfFollowingLeavesAnExactRestart) {
    auto all = make_world(1);
    all->source(kFlow).insert(1, "loaded");
    start(*all);
    wait_for_rows(*all, 30);
    all->source(kFlow).commit_random();
    all->source(kFlow).commit_random();
    all->source(kFlow).insert(100, std::string(5000, 'x'));
    const auto points = sweep(*all, [&all] { pass_until_arrived(*all); });
    EXPECT_GT(points, 500U);
}

// Spec: R-34
TEST(OutOfMemory, AtAnyAllocationOfALoadLeavesAnExactRestart) {
    auto all = make_world(2);
    all->source(kFlow).insert(1, "loaded");
    all->source(kFlow).insert(2, std::string(5000, 'x'));
    const auto work = [&all] {
        start(*all);
        pass_until_arrived(*all);
    };
    constexpr uint64_t kStride = 4;  // a load makes thousands, all alike
    EXPECT_GT(sweep(*all, work, kStride), 500U);
}

// A value larger than a packet goes in pieces, and is put together again at the target.
TEST(OutOfMemory, WhileALargeValueTravelsLeavesAnExactRestart) {
    constexpr size_t kLarge = 1'200'000;
    constexpr uint64_t kStride = 37;
    auto all = make_world(3);
    all->source(kFlow).insert(1, "loaded");
    start(*all);
    wait_for_rows(*all, 30);
    all->source(kFlow).insert(2, std::string(kLarge, 'x'));
    EXPECT_GT(sweep(*all, [&all] { pass_until_arrived(*all); }, kStride), 20U);
}

}  // namespace
}  // namespace qiao::agent
