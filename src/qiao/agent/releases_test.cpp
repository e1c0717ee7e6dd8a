#include "qiao/agent/two_agents_test.h"
#include "qiao/packet/header.h"
#include "qiao/trail/inspect.h"

#include <set>

// Nodes are upgraded and rolled back one by one, on the disks that the other release has written.
namespace qiao::agent {
namespace {

using namespace testing;

constexpr const char* kTrail = "state/trail";

/// Releases that the packets and segments of a node's trail tell; empty: version 1.0 wrote them.
std::set<std::string> releases(TwoAgents& all, TwoAgents::Side& side) {
    std::set<std::string> found;
    const auto visit = [&found](StreamId, StreamPoint, ByteView payload) {
        const auto view = packet::PacketView::parse(payload);
        ASSERT_TRUE(view) << view.error().to_string();
        found.insert("packet " + view->origin.release);
    };
    EXPECT_TRUE(all.world.run(trail::visit_records(*side.disk, kTrail, visit)));
    const auto seen = all.world.run(trail::inspect(*side.disk, kTrail));
    for (const auto& segment : seen ? seen->segments : std::vector<trail::SegmentView>{}) {
        found.insert("segment " + segment.release);
    }
    return found;
}

// Spec: R-52
TEST(Releases, NodesGoUpAndDownOneVersionUnderLoadAndLoseNothing) {
    for (uint64_t seed = 1; seed <= 6 && !::testing::Test::HasFailure(); ++seed) {
        SCOPED_TRACE(seed);
        TwoAgents all(seed, seed % 2 == 0 ? engine::Custody::Hop : engine::Custody::End);
        for (auto* side : {&all.city, &all.province}) {
            side->release = "";  // writes what version 1.0 wrote
            side->config.trail.segment_bytes = 64U << 10U;
            all.start(*side);
        }
        all.source("persons").insert(90, "first");
        ASSERT_TRUE(all.arrive(seconds(30)));
        for (int round = 0; round < 8; ++round) {
            for (int i = 0; i < 4; ++i) {
                all.source("persons").insert(100 + 4 * round + i, std::string(9000, 'x'));
                all.source("persons").commit_random();
                all.wait(milliseconds(static_cast<int64_t>(all.random() % 300)));
            }
            auto& side = all.random() % 2 == 0 ? all.city : all.province;
            all.random() % 2 == 0 ? all.stop(side) : all.kill(side);
            side.release = side.release.empty() ? "0.2.0" : "";
            all.start(side);
            all.wait(seconds(2));
            all.expect_exact("persons");
        }
        all.city.release = "0.2.0";
        all.stop(all.city);
        all.start(all.city);
        all.source("persons").insert(900, "last");
        EXPECT_TRUE(all.arrive(seconds(200)));
        all.wait(seconds(25));
        for (auto* side : {&all.city, &all.province}) {
            EXPECT_TRUE(all.flow(*side, "persons").green)
                << to_text(side->agent->status(), Language::English);
            const auto found = releases(all, *side);
            EXPECT_TRUE(found.contains("packet ") && found.contains("packet 0.2.0"));
            EXPECT_TRUE(found.contains("segment "));
        }
        EXPECT_EQ(all.flow(all.province, "persons").divergences, 0U);
    }
}

}  // namespace
}  // namespace qiao::agent
