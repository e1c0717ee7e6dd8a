#include "qiao/agent/two_agents_test.h"
#include "qiao/apply/intervention.h"
#include "qiao/engine/laid_aside.h"

namespace qiao::agent {
namespace {

using namespace testing;

TEST(TwoAgentsTest, ARefusedRowStopsItsFlowAloneUntilAnOperatorSaysGoOn) {
    TwoAgents all;
    for (auto& flow : all.province.config.flows) {
        flow.lay_aside = false;
    }
    all.start(all.city);
    all.start(all.province);
    all.source("persons").insert(1, "good");
    ASSERT_TRUE(all.arrive(seconds(30)));
    all.target_database.refusals.push_back(
        {all.source("persons").schema().table, Row{"2", "bad"}, ErrorCode::DbValue}
    );
    all.source("persons").insert(2, "bad");
    all.wait(seconds(100));
    auto failed = all.flow(all.province, "persons");
    EXPECT_EQ(failed.state, "failed");
    EXPECT_TRUE(failed.needs_operator);
    ASSERT_TRUE(failed.last_error);
    EXPECT_TRUE(failed.last_error->is(ErrorCode::DbValue)) << failed.last_error->to_string();
    EXPECT_EQ(all.flow(all.city, "persons").moving, Moving::No);

    all.source("parcels").insert(7, "still");
    all.wait(seconds(20));
    EXPECT_EQ(all.target_rows("parcels"), all.source("parcels").rows());
    EXPECT_TRUE(all.flow(all.province, "parcels").green);

    EXPECT_FALSE(all.province.agent->retry("nothing"));
    all.target_database.refusals.clear();
    ASSERT_TRUE(all.province.agent->retry("persons"));
    EXPECT_TRUE(all.arrive(seconds(90)));
    all.wait(seconds(30));
    EXPECT_TRUE(all.flow(all.province, "persons").green);
}

// Source: rules 20, 21. Spec: R-51
TEST(TwoAgentsTest, ARefusedRowWaitsAndTheFlowIsGreenOnceItWasReplayed) {
    TwoAgents all;
    all.start(all.city);
    all.start(all.province);
    all.source("persons").insert(1, "good");
    ASSERT_TRUE(all.arrive(seconds(30)));
    all.target_database.refusals.push_back(
        {all.source("persons").schema().table, Row{"2", "bad"}, ErrorCode::DbValue}
    );
    all.source("persons").insert(2, "bad");
    all.source("persons").insert(3, "behind it");
    all.wait(seconds(30));
    EXPECT_EQ(all.target_rows("persons").size(), 2U);
    auto flow = all.flow(all.province, "persons");
    EXPECT_EQ(flow.state, "following");
    EXPECT_EQ(flow.laid_aside, 1U);
    EXPECT_FALSE(flow.green);

    all.target_database.refusals.clear();
    apply::Intervention operation(all.target_database, all.world, flow.stream);
    apply::ReplayOptions options;
    options.stream = flow.stream;
    options.open = engine::opening(flow.stream, all.province.identity.wrapping);
    StopSignal stop;
    const auto report = all.world.run(operation.replay(std::move(options), stop));
    ASSERT_TRUE(report) << report.error().to_string();
    EXPECT_EQ(report->applied, 1U);
    EXPECT_TRUE(all.arrive(seconds(30)));
    all.wait(seconds(30));
    flow = all.flow(all.province, "persons");
    EXPECT_EQ(flow.laid_aside, 0U);
    EXPECT_TRUE(flow.green);
}

}  // namespace
}  // namespace qiao::agent
