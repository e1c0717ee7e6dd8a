#include "qiao/engine/source_flow.h"

#include "qiao/common/async/scope.h"
#include "qiao/common/async/sleep.h"
#include "qiao/engine/line_world_test.h"

#include <gtest/gtest.h>

#include <deque>

namespace qiao::engine {
namespace {

using testing::Holder;
using testing::ManualWorld;
using testing::ScriptedSource;
using testing::transaction;

/// A disk on which one opening for reading takes as long as the test wants.
class SlowDisk final : public Storage {
public:
    SlowDisk(Storage& disk, Executor& executor) : free(executor), disk_(disk) {}

    Task<Result<std::unique_ptr<File>>> open(std::string path, OpenMode mode) override {
        if (mode == OpenMode::Read && std::exchange(hold_next, false)) {
            holding = true;
            co_await free.wait();
            holding = false;
        }
        co_return co_await disk_.open(std::move(path), mode);
    }

    Task<Status> rename(std::string from, std::string to) override {
        return disk_.rename(std::move(from), std::move(to));
    }

    Task<Status> remove(std::string path) override { return disk_.remove(std::move(path)); }

    Task<Status> make_folder(std::string path) override {
        return disk_.make_folder(std::move(path));
    }

    Task<Status> remove_folder(std::string path) override {
        return disk_.remove_folder(std::move(path));
    }

    Task<Status> sync_folder(std::string path) override {
        return disk_.sync_folder(std::move(path));
    }

    Task<Result<std::vector<std::string>>> list(std::string path) override {
        return disk_.list(std::move(path));
    }

    Task<Result<uint64_t>> free_bytes(std::string path) override {
        return disk_.free_bytes(std::move(path));
    }

    Task<Result<std::unique_ptr<Lock>>> lock(std::string path) override {
        return disk_.lock(std::move(path));
    }

    bool hold_next = false;
    bool holding = false;
    Event free;

private:
    Storage& disk_;
};

const model::TableName kTable{"public", "person"};

class NoSnapshot final : public capture::SnapshotSource {
public:
    Task<Result<std::unique_ptr<capture::SnapshotSession>>> open(
        std::vector<model::TableName> /*tables*/, StopSignal& /*stop*/
    ) override {
        co_return Error(ErrorCode::CaptureProtocol, "no snapshot here");
    }
};

/// Gives a new streaming source for each try, and knows how many of them there are.
class CountedSource final : public capture::DataSource {
public:
    explicit CountedSource(ManualWorld& world) : world_(world) {}

    Task<Status> reach() override { co_return Status{}; }

    Task<Result<Choice>> choose(std::vector<std::string> /*patterns*/) override {
        Choice choice;
        choice.tables.push_back(kTable);
        co_return choice;
    }

    Task<Status> prepare(StreamId /*stream*/, std::vector<model::TableName> /*tables*/) override {
        co_return Status{};
    }

    std::unique_ptr<capture::StreamingSource> streaming(StreamId /*stream*/) override {
        ++made;
        ++alive;
        auto source = std::make_unique<Counted>(*this, world_);
        newest = &source->script;
        return source;
    }

    std::unique_ptr<capture::SnapshotSource> snapshot(StreamId /*stream*/) override {
        ++snapshots;
        return std::make_unique<NoSnapshot>();
    }

    Task<Result<drivers::Structure>> structure(std::vector<drivers::TablePair> /*tables*/)
        override {
        co_return drivers::Structure{};
    }

    Task<Result<model::SourcePosition>> flushed_position() override {
        co_return model::SourcePosition{};
    }

    Task<Result<std::vector<capture::Leftover>>> leftovers(StreamId /*stream*/) override {
        co_return std::vector<capture::Leftover>{};
    }

    Task<Result<std::vector<std::string>>> drop(StreamId /*stream*/) override {
        co_return std::vector<std::string>{};
    }

    std::string identity() const override { return "counted"; }

    int made = 0;
    int snapshots = 0;
    int alive = 0;
    ScriptedSource* newest = nullptr;
    model::SourcePosition released;  ///< see ScriptedSource

private:
    class Counted final : public capture::StreamingSource {
    public:
        Counted(CountedSource& all, ManualWorld& world) : script(world), all_(all) {}

        Counted(const Counted&) = delete;
        Counted& operator=(const Counted&) = delete;

        ~Counted() override { --all_.alive; }

        Task<Status> start(model::SourcePosition from) override {
            script.released = all_.released;
            return script.start(std::move(from));
        }

        Task<Status> pump(capture::TransactionSink& sink, StopSignal& stop) override {
            return script.pump(sink, stop);
        }

        void confirm(model::SourcePosition position) override {
            script.confirm(std::move(position));
        }

        Backlog backlog() const override { return {}; }

        ScriptedSource script;

    private:
        CountedSource& all_;
    };

    ManualWorld& world_;
};

/// A target with nothing to load that says what a test gave it to say.
class SayingTarget final : public FlowTarget {
public:
    explicit SayingTarget(Executor& executor) : changed(executor) {
        drivers::TableState table;
        table.table = kTable;
        table.status = drivers::TableStatus::Live;
        says.tables.push_back(table);
    }

    Task<Result<TargetState>> state() override { co_return says; }

    Task<Result<drivers::CreateReport>> create(
        drivers::Structure /*structure*/, drivers::StructurePhase /*phase*/
    ) override {
        co_return drivers::CreateReport{};
    }

    Task<Status> announce_loads(std::vector<model::TableName> /*tables*/) override {
        announced = true;
        co_return Status{};
    }

    Task<Status> begin_load(LoadSession /*session*/) override { co_return Status{}; }

    Task<Result<std::unique_ptr<Part>>> open_part(
        capture::LoadPart /*part*/, drivers::LoadFormat /*format*/, LoadSession /*session*/
    ) override {
        co_return Error(ErrorCode::EngineLoadFailed, "nothing to load");
    }

    Task<Status> finish_load(LoadSession /*session*/) override { co_return Status{}; }

    Task<Status> start_apply() override {
        while (cut_links == 0 && !open) {
            co_await changed.wait();
        }
        if (cut_links > 0) {
            --cut_links;
            co_return Error(ErrorCode::NetworkUnreachable, "by the test");
        }
        announced = false;
        co_return Status{};
    }

    void cut() {
        ++cut_links;
        changed.pulse();
    }

    TargetState says;
    bool announced = false;
    int cut_links = 0;
    bool open = false;
    Event changed;
};

class Flow {
public:
    /// `tables`: of which the target knows; empty: the one, live.
    explicit Flow(std::vector<drivers::TableState> tables = {})
        : holder(world), disk(holder.disk, world), source(world), target(world), scope_(world) {
        if (!tables.empty()) {
            target.says.tables = std::move(tables);
        }
        holder.options.tail_cache_bytes = 0;
        holder.options.grace = Duration::zero();
        open_trail();
        holder.keys.emplace(*world.run(KeyStore::open(disk, "keys")));
        start();
    }

    void open_trail() {
        auto opened = world.run(trail::Trail::open(disk, world, world, holder.options));
        holder.trail = *std::move(opened);
    }

    ~Flow() {
        target.open = true;
        target.changed.pulse();
        disk.free.set();
        stop();
    }

    void start() {
        SourceFlowOptions options;
        options.name = "persons";
        options.node = "city";
        options.stream = holder.stream;
        options.tables = {"public.person"};
        options.suite = &testing::gm();
        options.receivers = {holder.wrapping->public_key()};
        options.carried = carried;
        options.reopen = reopen;
        flow = std::make_unique<SourceFlow>(
            SourceFlow::Parts{world, world, world, *holder.trail, *holder.keys, source, target},
            std::move(options)
        );
        stop_ = std::make_unique<StopSignal>();
        scope_.spawn(run());
        wait(std::chrono::seconds(1));
    }

    void stop() {
        target.open = true;
        target.changed.pulse();
        stop_->request();
        world.run(scope_.join());
    }

    void wait(Duration duration) {
        StopSignal never;
        (void)world.run(sleep_for(world, world, duration, never));
    }

    void acknowledge(StreamPoint point) { scope_.spawn(acknowledged(point)); }

    ManualWorld world;
    Holder holder;
    SlowDisk disk;
    CountedSource source;
    SayingTarget target;
    std::unique_ptr<SourceFlow> flow;
    Status ended;
    bool told = false;
    bool carried = false;
    bool reopen = false;

private:
    Task<void> run() { ended = co_await flow->run(*stop_); }

    Task<void> acknowledged(StreamPoint point) {
        const auto done = co_await flow->acknowledged(Custody::End, point);
        EXPECT_TRUE(done) << done.error().to_string();
        told = true;
    }

    std::unique_ptr<StopSignal> stop_;
    TaskScope scope_;
};

TEST(SourceFlow, AnAcknowledgementOnItsWayKeepsTheCaptureThatATryHasReplaced) {
    Flow all;
    all.source.newest->add([](capture::TransactionSink& sink) { transaction(sink, 1); });
    all.wait(std::chrono::seconds(1));
    const auto first = all.flow->capture()->status().durable.point;
    for (uint64_t number = 2; number <= 100; ++number) {
        all.source.newest->add([number](capture::TransactionSink& sink) {
            transaction(sink, number, 20'000);
        });
    }
    all.wait(std::chrono::seconds(1));
    all.disk.hold_next = true;
    all.acknowledge(first);
    all.wait(std::chrono::milliseconds(10));
    ASSERT_TRUE(all.disk.holding);
    all.target.cut();
    all.wait(std::chrono::seconds(30));
    EXPECT_EQ(all.source.made, 2);
    EXPECT_EQ(all.source.alive, 2);
    all.disk.free.set();
    all.wait(std::chrono::seconds(1));
    EXPECT_TRUE(all.told);
    EXPECT_EQ(all.source.alive, 1);
}

// Source: rules 3
TEST(SourceFlow, TriesOfOneProcessShareTheirKey) {
    Flow all;
    for (int i = 0; i < 20; ++i) {
        all.target.cut();
        all.wait(std::chrono::seconds(100));
    }
    EXPECT_EQ(all.source.made, 21);
    EXPECT_EQ(all.holder.keys->size(), 1U);
}

// Source: rules 1
TEST(SourceFlow, AStreamWhoseLastPacketWasRemovedGoesOnBehindTheTargetsWordForIt) {
    Flow all;
    for (uint64_t number = 1; number <= 20; ++number) {
        all.source.newest->add([number](capture::TransactionSink& sink) {
            transaction(sink, number, 20'000);
        });
        all.wait(std::chrono::milliseconds(100));
    }
    const auto tip = all.flow->capture()->status().durable;
    all.acknowledge(tip.point);
    all.stop();
    // Another stream closes the segment of the last packet.
    const StreamId other{{std::byte{9}}};
    for (uint64_t number = 1; number <= 10; ++number) {
        const Bytes bytes(20'000);
        const StreamPoint point{Epoch{1}, Sequence{number}};
        ASSERT_TRUE(all.world.run(all.holder.trail->append(other, point, bytes)));
    }
    ASSERT_TRUE(all.world.run(all.holder.trail->sync()));
    ASSERT_TRUE(all.world.run(all.holder.trail->register_consumer(other, "c", {})));
    ASSERT_TRUE(all.holder.trail->release(other, "c", *all.holder.trail->tail(other)));
    all.wait(std::chrono::seconds(5));
    ASSERT_EQ(all.holder.trail->held_after(all.holder.stream), tip.point);

    // A target that holds less than it once acknowledged is told apart from that.
    all.target.says.tip = tip;
    --all.target.says.tip.point.sequence.value;
    all.target.says.tip.position = testing::head(19).commit;
    all.source.released = tip.position;
    all.start();
    ASSERT_FALSE(all.ended);
    EXPECT_TRUE(all.ended.error().is(ErrorCode::EngineCustodyWentBack));
    all.stop();

    all.target.says.tip = tip;
    all.start();
    ASSERT_NE(all.flow->capture(), nullptr);
    EXPECT_EQ(all.flow->capture()->status().captured.point.epoch, tip.point.epoch);
    EXPECT_EQ(all.flow->capture()->status().captured.position, tip.position);
    EXPECT_EQ(all.holder.kinds(), (std::vector{packet::Kind::Key, packet::Kind::Abort}));
}

// A node that lost its disk before it had applied what it held; its source's node had lost its own.
// Source: rules 8
TEST(SourceFlow, WhatATargetLostIsReadFromTheSourceAgainIfThatStillHasIt) {
    Flow all;
    all.target.says.tip = {{{1}, {7}}, {}, testing::head(3).commit};
    all.stop();
    all.start();
    const auto before = all.flow->capture()->status().durable;
    ASSERT_GT(before.point, all.target.says.tip.point);
    all.stop();
    --all.target.says.tip.point.sequence.value;
    all.target.says.tip.position = testing::head(2).commit;
    all.start();
    ASSERT_NE(all.flow->capture(), nullptr) << all.ended.error().to_string();
    EXPECT_EQ(all.source.newest->started_from, testing::head(2).commit);
    EXPECT_GT(all.flow->capture()->status().durable.point.epoch, before.point.epoch);
    const auto records = all.holder.kinds();
    EXPECT_EQ(records, (std::vector{packet::Kind::Key, packet::Kind::Epoch}));
}

// Its rows are of a history that the rest of the old epoch may not be of. Source: rules 1, 13
TEST(SourceFlow, ALoadWaitsUntilTheTargetHasAppliedWhatLiesBeforeItsEpoch) {
    using Phase = SourceFlowStatus::Phase;
    Flow all;
    all.stop();
    all.target.says.tip = {{{1}, {7}}, {}, testing::head(3).commit};
    all.target.says.tables.front().status = drivers::TableStatus::NeedsResync;
    all.start();
    all.wait(std::chrono::hours(1));
    ASSERT_NE(all.flow->capture(), nullptr) << all.ended.error().to_string();
    const auto epoch = all.flow->capture()->status().captured.point.epoch;
    EXPECT_EQ(epoch, Epoch{2});
    all.flow->applied({{1}, {7}});
    all.wait(std::chrono::hours(1));
    EXPECT_EQ(all.flow->status().phase, Phase::AwaitingEpoch);
    EXPECT_FALSE(all.target.announced) << "changes would wait for it";
    EXPECT_EQ(all.source.snapshots, 0);
    all.flow->applied({epoch, {1}});
    all.wait(std::chrono::seconds(10));
    EXPECT_TRUE(all.target.announced);
    EXPECT_EQ(all.source.snapshots, 1);
}

// Who waits for this load acknowledges nothing more.
TEST(SourceFlow, AnEpochThatTheTargetHasAppliedBeforeIsNotWaitedFor) {
    Flow all;
    all.stop();
    all.target.says.tip = {{{1}, {7}}, {}, testing::head(3).commit};
    all.start();
    all.wait(std::chrono::seconds(1));
    const auto tip = all.flow->capture()->status().durable;
    ASSERT_EQ(tip.point.epoch, Epoch{2});
    all.stop();
    all.target.says.tip = tip;
    all.target.says.applied = tip.point;
    all.target.says.tables.front().status = drivers::TableStatus::NeedsResync;
    all.start();
    all.wait(std::chrono::seconds(10));
    EXPECT_EQ(all.source.snapshots, 1);
}

// Source: rules 2, 8
TEST(SourceFlow, ATargetThatHoldsAnotherPacketIsToldAndGoneOnWithWhenAsked) {
    Flow all;
    all.source.newest->add([](capture::TransactionSink& sink) { transaction(sink, 1); });
    all.wait(std::chrono::seconds(1));
    const auto tip = all.flow->capture()->status().durable;
    all.stop();

    all.target.says.tip = tip;
    all.target.says.tip.digest = {};
    all.start();
    ASSERT_FALSE(all.ended);
    EXPECT_TRUE(all.ended.error().is(ErrorCode::EngineForked));
    all.stop();

    all.reopen = true;
    all.start();
    ASSERT_NE(all.flow->capture(), nullptr);
    EXPECT_GT(all.flow->capture()->status().captured.point.epoch, tip.point.epoch);
    EXPECT_EQ(all.holder.kinds(), (std::vector{packet::Kind::Key, packet::Kind::Epoch}));
}

// Source: rules 9
TEST(SourceFlow, WhatRotsBeforeItIsSentIsGoneOnWithoutWhenAsked) {
    Flow all;
    std::vector<ChainTip> tips;
    for (uint64_t number = 1; number <= 4; ++number) {
        all.source.newest->add([number](capture::TransactionSink& sink) {
            transaction(sink, number);
        });
        all.wait(std::chrono::seconds(1));
        tips.push_back(all.flow->capture()->status().durable);
    }
    all.stop();
    const auto record = all.world.run(all.holder.trail->find(all.holder.stream, tips[1].point));
    const auto wire = to_bytes(record->payload());
    (void)all.world.run(all.holder.trail->close());
    for (const auto& path : all.holder.disk.paths()) {
        const auto content = *all.holder.disk.content(path);
        const auto at = std::ranges::search(content, wire);
        if (!at.empty()) {
            all.holder.disk.flip(path, static_cast<uint64_t>(at.begin() - content.begin()) + 20);
        }
    }
    all.open_trail();
    all.target.says.tip = tips[0];
    all.reopen = true;
    all.start();
    ASSERT_NE(all.flow->capture(), nullptr) << all.ended.error().to_string();
    EXPECT_GT(all.flow->capture()->status().captured.point.epoch, tips[0].point.epoch);
    EXPECT_EQ(all.holder.kinds(), (std::vector{packet::Kind::Key, packet::Kind::Epoch}));
    EXPECT_EQ(all.source.newest->started_from, tips[0].position);
}

// Spec: R-11
TEST(SourceFlow, BeginsNothingBeforeAllOfACarriedLoadIsIn) {
    using Phase = SourceFlowStatus::Phase;
    Flow all;
    all.stop();
    const auto made = all.source.made;
    all.carried = true;
    auto live = all.target.says.tables.front();
    live.generation = 1;
    auto other = live;
    other.table.name = "house";
    for (const auto status : {drivers::TableStatus::Pending, drivers::TableStatus::Loading}) {
        all.target.says.tables.clear();
        all.start();
        all.wait(std::chrono::hours(1));
        EXPECT_EQ(all.flow->status().phase, Phase::AwaitingLoad);
        all.target.says.tables = {live, other};
        all.target.says.tables.front().status = status;
        all.wait(std::chrono::hours(1));
        EXPECT_EQ(all.flow->status().phase, Phase::AwaitingLoad);
        EXPECT_EQ(all.source.made, made);
        all.stop();
    }
    all.start();
    // One that the flow does not carry keeps nobody waiting.
    other.status = drivers::TableStatus::Pending;
    all.target.says.tables = {live, other};
    all.wait(std::chrono::seconds(10));
    EXPECT_EQ(all.flow->status().phase, Phase::Following);
    EXPECT_EQ(all.source.made, made + 1);
}

// Spec: R-11
TEST(SourceFlow, ATableThatThisFlowHasAnnouncedDoesNotComeByFolder) {
    using Phase = SourceFlowStatus::Phase;
    Flow all;
    all.stop();
    all.carried = true;
    auto announced = all.target.says.tables.front();
    announced.status = drivers::TableStatus::Pending;
    announced.generation = 0;
    all.target.says.tables = {announced};
    all.start();
    all.wait(std::chrono::seconds(10));
    EXPECT_EQ(all.flow->status().phase, Phase::Failed) << "its load was tried";
    ASSERT_FALSE(all.ended);
    EXPECT_TRUE(all.ended.error().is(ErrorCode::CaptureProtocol));
}

// Source: rules 1
TEST(SourceFlow, AStreamWithoutAPacketBeginsWhereTheFirstOfItsLoadedTablesWasJoined) {
    EXPECT_TRUE(Flow().source.newest->started_from.empty());
    const auto at = [](uint64_t lsn) { return model::SourcePosition::lsn(7, 1, lsn); };
    using drivers::TableStatus;
    const std::vector<drivers::TableState> tables{
        {kTable, 1, TableStatus::Live, at(0x200)},
        {{"public", "house"}, 1, TableStatus::Live, at(0x100)},
        {{"public", "unfinished"}, 1, TableStatus::Loading, at(0x50)}
    };
    const Flow later(tables);
    EXPECT_EQ(later.source.newest->started_from, at(0xFF));
}

}  // namespace
}  // namespace qiao::engine
