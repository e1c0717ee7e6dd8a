#include "qiao/engine/repair_feed.h"

#include "qiao/testing/manual_world.h"

#include <gtest/gtest.h>

#include <set>

namespace qiao::engine {
namespace {

using model::SourcePosition;

SourcePosition at(uint64_t lsn) { return SourcePosition::lsn(7, 1, lsn); }

/// Writes down what comes out, and that it comes in an order that a packer takes.
class Out final : public capture::CommittedSink {
public:
    std::vector<std::string> told;
    SourcePosition last;

    void schema(const model::TableSchema& schema) override { known_.insert(schema.id()); }

    void begin(const model::TransactionHead& head) override {
        EXPECT_FALSE(open_);
        EXPECT_TRUE(model::compare(head.commit, last) > 0)
            << head.commit.to_string() << " behind " << last.to_string();
        open_ = true;
    }

    void change(const model::Change& change) override {
        EXPECT_TRUE(known_.contains(change.schema));
        told.push_back("repair " + std::string(as_text(change.new_row.values()[0].bytes)));
    }

    void commit(const model::TransactionHead& head) override {
        open_ = false;
        last = head.commit;
        if (head.xid >> 63U == 0) {
            told.push_back("commit " + head.commit.to_string());
        }
    }

    void heartbeat(const capture::Heartbeat& heartbeat) override {
        EXPECT_FALSE(open_);
        last = heartbeat.position;
        told.push_back("beat " + heartbeat.position.to_string());
        for (const auto& notice : heartbeat.notices) {
            told.back() += notice.kind == model::TableNotice::Kind::Proven ? " proven " : " doubt ";
            told.back() += notice.table.name + " " + notice.position.to_string();
        }
    }

    void progress(const SourcePosition& /*position*/) override {}

    bool full() const override { return false; }

private:
    bool open_ = false;
    std::set<model::SchemaId> known_;
};

class RepairFeedTest : public ::testing::Test {
protected:
    verify::RepairPlan plan(uint64_t lsn) {
        verify::RepairPlan plan;
        plan.position = at(lsn);
        plan.schema.table = {"public", "t"};
        plan.schema.columns.push_back({.name = "id", .type = "pg_catalog.text", .key = true});
        model::TupleBuilder row(1);
        row.text(plan.position.to_string());
        plan.images.push_back(std::move(row).take());
        model::Change change;
        change.schema = plan.schema.id();
        change.new_row = *model::Tuple::parse(plan.images.back());
        change.tolerant = true;
        plan.changes.push_back(change);
        return plan;
    }

    void transaction(uint64_t lsn) {
        model::TransactionHead head;
        head.xid = 1;
        head.commit = at(lsn);
        feed_.begin(head);
        feed_.commit(head);
    }

    void beat(uint64_t lsn, const char* doubtful = nullptr) {
        capture::Heartbeat heartbeat;
        heartbeat.position = at(lsn);
        if (doubtful != nullptr) {
            heartbeat.notices.push_back(
                {model::TableNotice::Kind::CatalogueChanged, {"public", doubtful}, at(lsn)}
            );
        }
        feed_.heartbeat(heartbeat);
    }

    testing::ManualWorld world_{1};
    Out out_;
    RepairFeed feed_{out_, {}, world_, world_};
};

// Source: rules 1, 23
TEST_F(RepairFeedTest, AProofGoesWithAHeartbeatAndSaysAsOfWhenItProves) {
    const auto prove = [&](const char* name, uint64_t lsn) {
        feed_.prove({"public", name}, at(lsn));
    };
    prove("early", 0x08);
    beat(0x20, "changed");
    prove("changed", 0x18);
    prove("later", 0x50);
    EXPECT_TRUE(feed_.waiting());
    beat(0x30);
    EXPECT_TRUE(feed_.waiting());
    beat(0x50);
    EXPECT_FALSE(feed_.waiting());
    const std::vector<std::string> expected = {
        "beat 0/20 doubt changed 0/20 proven early 0/8",
        "beat 0/30 proven changed 0/18",
        "beat 0/50 proven later 0/50",
    };
    EXPECT_EQ(out_.told, expected);
}

// Spec: R-35
TEST_F(RepairFeedTest, ARepairGoesBehindAllThatCommitsBeforeItsSnapshotAndBeforeAllElse) {
    transaction(0x10);
    feed_.add(plan(0x30));
    EXPECT_TRUE(feed_.waiting());
    transaction(0x20);
    transaction(0x30);
    transaction(0x31);
    const std::vector<std::string> expected = {
        "commit 0/10", "commit 0/20", "repair 0/30", "commit 0/30", "commit 0/31"
    };
    EXPECT_EQ(out_.told, expected);
    EXPECT_FALSE(feed_.waiting());
}

TEST_F(RepairFeedTest, AnIdleSourceSendsItsRepairWithTheNextHeartbeat) {
    beat(0x10);
    feed_.add(plan(0x30));
    beat(0x20);
    EXPECT_TRUE(feed_.waiting());
    beat(0x30);
    EXPECT_FALSE(feed_.waiting());
    const std::vector<std::string> expected = {
        "beat 0/10", "beat 0/20", "repair 0/30", "beat 0/30"
    };
    EXPECT_EQ(out_.told, expected);
}

TEST_F(RepairFeedTest, SeveralRepairsOfASourceThatStandsStillGoOneBehindTheOther) {
    beat(0x18);
    for (int i = 0; i < 8; ++i) {
        feed_.add(plan(0x20));
    }
    beat(0x20);
    EXPECT_EQ(out_.told.size(), 1U + 7U + 1U);
    EXPECT_EQ(feed_.unplaced(), 1U);
    EXPECT_FALSE(feed_.waiting());
}

/// A packer passes over what lies at or before its position.
TEST_F(RepairFeedTest, ARepairThatWouldBePassedOverIsTold) {
    beat(0x1F);
    feed_.add(plan(0x20));
    beat(0x30);
    EXPECT_EQ(out_.told, (std::vector<std::string>{"beat 0/1F", "beat 0/30"}));
    EXPECT_EQ(feed_.unplaced(), 1U);
}

TEST_F(RepairFeedTest, APlanWithoutChangesIsNotWaitedFor) {
    auto nothing = plan(0x30);
    nothing.changes.clear();
    feed_.add(std::move(nothing));
    EXPECT_FALSE(feed_.waiting());
}

}  // namespace
}  // namespace qiao::engine
