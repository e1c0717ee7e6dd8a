#include "qiao/capture/postgres/heartbeat.h"

#include "qiao/common/async/sleep.h"
#include "qiao/testing/manual_world.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qiao::capture::postgres {
namespace {

using qiao::testing::ManualWorld;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// What a source would do, and when it was asked.
struct Source {
    explicit Source(ManualWorld& the_world) : world(the_world), clock(the_world) {}

    ManualWorld& world;
    Clock& clock;
    Duration guard_takes{0};
    size_t guards = 0;
    MonoTime key_lost_at = MonoTime::max();
    std::vector<MonoTime> withdrawn;
    std::vector<std::pair<MonoTime, HeartbeatNote>> notes;
    std::function<void()> after_note = [] {};
};

class FakeCatalogue final : public SourceCatalogue {
public:
    explicit FakeCatalogue(Source& source) : source_(source) {}

    Task<Result<std::optional<SlotInfo>>> slot(std::string) override { co_return std::nullopt; }

    Task<Result<std::vector<SourceTable>>> tables(std::vector<ChosenTable>) override {
        co_return std::vector<SourceTable>();
    }

    Task<Result<std::vector<ColumnFact>>> columns(uint32_t) override {
        co_return std::vector<ColumnFact>();
    }

    Task<Result<std::map<uint32_t, std::string>>> type_names(std::vector<uint32_t>) override {
        co_return std::map<uint32_t, std::string>();
    }

    Task<Result<uint64_t>> wide_xid() override { co_return 1; }

    Task<Result<std::map<uint64_t, TransactionFate>>> not_committed(std::vector<uint64_t>)
        override {
        co_return std::map<uint64_t, TransactionFate>();
    }

    Task<Result<Lsn>> newest() override { co_return 1; }

    Task<Result<std::map<model::TableName, std::string>>> digests(std::vector<model::TableName>)
        override {
        co_return std::map<model::TableName, std::string>();
    }

    Task<Result<std::map<uint32_t, model::TableName>>> numbers(std::vector<model::TableName>)
        override {
        co_return std::map<uint32_t, model::TableName>();
    }

    Task<Result<std::vector<model::TableName>>> guard(StreamId) override {
        std::vector<model::TableName> lost;
        ++source_.guards;
        StopSignal never;
        (void)co_await sleep_for(source_.world, source_.clock, source_.guard_takes, never);
        if (source_.withdrawn.empty() && source_.clock.now() >= source_.key_lost_at) {
            source_.withdrawn.push_back(source_.clock.now());
            lost.push_back({"public", "t"});
        }
        co_return lost;
    }

    Task<Status> write_note(HeartbeatNote note) override {
        source_.notes.emplace_back(source_.clock.now(), std::move(note));
        source_.after_note();
        co_return Status{};
    }

private:
    Source& source_;
};

class FakeDatabase final : public SourceDatabase {
public:
    explicit FakeDatabase(Source& source) : source_(source) {}

    Task<Result<std::unique_ptr<SourceSession>>> open_session(StopSignal&) override {
        co_return Error(ErrorCode::DbLost);
    }

    Task<Result<std::unique_ptr<SourceCatalogue>>> open_catalogue(StopSignal&) override {
        co_return std::make_unique<FakeCatalogue>(source_);
    }

    std::string display() const override { return "fake"; }

private:
    Source& source_;
};

class Heartbeats : public ::testing::Test {
protected:
    /// Until `count` notes were written.
    void run(size_t count) {
        source_.after_note = [this, count] {
            if (source_.notes.size() >= count) {
                stop_.request();
            }
        };
        HeartbeatOptions options;
        options.tables = {{"public", "t"}};
        HeartbeatWriter writer(std::move(options), database_, world_, world_, world_);
        world_.run(writer.run(stop_, [] {}));
    }

    std::vector<int64_t> seconds_of_notes() const {
        std::vector<int64_t> seconds;
        for (const auto& [at, note] : source_.notes) {
            seconds.push_back(std::chrono::duration_cast<std::chrono::seconds>(at - begun_).count()
            );
        }
        return seconds;
    }

    ManualWorld world_;
    MonoTime begun_ = world_.now();
    Source source_{world_};
    FakeDatabase database_{source_};
    StopSignal stop_;
};

TEST_F(Heartbeats, AreWrittenEveryTenSeconds) {
    run(4);
    EXPECT_THAT(seconds_of_notes(), ElementsAre(0, 10, 20, 30));
    EXPECT_THAT(source_.withdrawn, IsEmpty());
}

TEST_F(Heartbeats, AmongVeryManyTablesTheSourceRestsBetweenLooks) {
    source_.guard_takes = std::chrono::seconds(1);
    run(7);
    const auto elapsed = std::chrono::duration_cast<std::chrono::seconds>(world_.now() - begun_);
    EXPECT_GE(elapsed.count(), 60);
    EXPECT_LE(source_.guards, static_cast<size_t>(elapsed.count() / 5 + 1))
        << "a fifth of its time";
}

// Source: rules 11
TEST_F(Heartbeats, ATableThatLosesItsKeyIsWithdrawnWithinASecondAndTold) {
    source_.key_lost_at = begun_ + std::chrono::milliseconds(2500);
    run(3);
    ASSERT_EQ(source_.withdrawn.size(), 1U);
    EXPECT_LE(source_.withdrawn[0] - source_.key_lost_at, std::chrono::seconds(1));
    EXPECT_THAT(seconds_of_notes(), ElementsAre(0, 3, 13));
    const auto& told = source_.notes[1].second;
    EXPECT_THAT(told.withdrawn, ElementsAre(model::TableName{"public", "t"}));
    EXPECT_THAT(source_.notes[2].second.withdrawn, IsEmpty());
}

}  // namespace
}  // namespace qiao::capture::postgres
