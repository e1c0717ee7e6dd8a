#pragma once

#include "qiao/agent/agent.h"
#include "qiao/agent/living_source_test.h"
#include "qiao/common/async/scope.h"
#include "qiao/common/async/sleep.h"
#include "qiao/drivers/model/model_database.h"
#include "qiao/link/plain_authenticator.h"
#include "qiao/testing/memory_storage.h"
#include "qiao/testing/memory_transport.h"

#include <gtest/gtest.h>

// Two whole agents with databases, disks and a network in memory.
namespace qiao::agent::testing {

using drivers::model_db::ModelDatabase;
using drivers::model_db::Row;
using qiao::testing::ManualWorld;
using qiao::testing::MemoryStorage;
using qiao::testing::MemoryTransport;
using std::chrono::milliseconds;
using std::chrono::seconds;

class NoStructures final : public engine::StructureMaker {
public:
    Task<Result<drivers::CreateReport>> create(
        drivers::Structure /*structure*/, drivers::StructurePhase /*phase*/
    ) override {
        co_return Error(ErrorCode::DbStatement, "not here");
    }

    Task<Result<drivers::CreateReport>> advance_sequences(
        std::vector<drivers::SequenceValue> /*values*/
    ) override {
        co_return drivers::CreateReport{};
    }
};

class Forward final : public drivers::TargetDatabase {
public:
    explicit Forward(ModelDatabase& database) : database_(database) {}

    Task<Result<std::unique_ptr<drivers::TargetSession>>> connect() override {
        return database_.connect();
    }

    std::string display() const override { return database_.display(); }

private:
    ModelDatabase& database_;
};

/// Two nodes, `city` with the sources and `province` with one target, in one world.
class TwoAgents : public Databases {
public:
    explicit TwoAgents(uint64_t seed = 1, engine::Custody custody = engine::Custody::Hop)
        : world(seed),
          network(world, world),
          target_database(world, world, seed),
          random(seed),
          scope_(world) {
        add_flow("persons", seed, custody);
        add_flow("parcels", seed + 1000, custody);
        city.config.peers.push_back({"province", {"province", kPort}});
        province.config.listen = Endpoint{"*", kPort};
    }

    ~TwoAgents() override {
        stop(city);
        stop(province);
    }

    struct Side {
        Side(TwoAgents& all, std::string name, uint64_t seed)
            : disk(std::make_unique<MemoryStorage>(all.world, seed)),
              authenticator(all.world, name) {
            config.node = name;
            config.state = "state";
        }

        AgentConfig config;
        Identity identity;
        std::string release = "1.2.3";
        std::unique_ptr<MemoryStorage> disk;
        link::PlainAuthenticator authenticator;
        std::unique_ptr<Agent> agent;
        std::unique_ptr<StopSignal> stop;
        bool running = false;
        Status ended;
    };

    void start(Side& side) {
        side.agent = std::make_unique<Agent>(
            Seams{world, world, world, *side.disk, network, side.authenticator, *this},
            std::make_shared<Settings>(side.config, side.identity),
            side.release,
            [&side] { return reread(side); }
        );
        side.stop = std::make_unique<StopSignal>();
        side.running = true;
        scope_.spawn(run(side));
    }

    /// What the side's fields say now.
    static Task<Result<SharedSettings>> reread(Side& side) {
        co_return SharedSettings(std::make_shared<Settings>(side.config, side.identity));
    }

    void stop(Side& side) {
        if (!side.agent) {
            return;
        }
        side.stop->request();
        while (side.running) {
            ASSERT_TRUE(world.step());
        }
        side.agent.reset();
    }

    /// As kill -9 and a power cut: the disk keeps what it kept, and nothing is done any more.
    void kill(Side& side) {
        side.disk->crash();
        stop(side);
        side.disk->restart();
    }

    /// The disk is gone with everything.
    void lose_state(Side& side) {
        stop(side);
        side.disk = std::make_unique<MemoryStorage>(world, random());
    }

    /// What both machines and databases of another world hold now, in which nothing runs any more.
    void take_over(const TwoAgents& from) {
        for (auto& [name, source] : sources_) {
            source = from.sources_.at(name)->in(world);
        }
        target_database.restore(from.target_database.committed());
        for (const auto& [side, old] :
             {std::pair(&city, &from.city), {&province, &from.province}}) {
            for (const auto& path : old->disk->paths()) {
                side->disk->put(path, *old->disk->content(path));
            }
        }
    }

    void wait(Duration duration) {
        StopSignal never;
        (void)world.run(sleep_for(world, world, duration, never));
    }

    LivingSource& source(const std::string& flow) { return *sources_.at(flow); }

    FlowStatus flow(Side& side, const std::string& name) {
        for (auto& flow : side.agent->status().flows) {
            if (flow.name == name) {
                return flow;
            }
        }
        ADD_FAILURE() << name;
        return {};
    }

    std::vector<Row> target_rows(const std::string& flow) {
        return target_database.rows(source(flow).schema().table);
    }

    /// Whether the target is exactly the source at the target's own checkpoint.
    void expect_exact(const std::string& flow) {
        const auto stream = flow_stream(flow, "city", "province");
        const auto& state = target_database.committed();
        const auto checkpoint = state.checkpoints.find(stream);
        const auto table = state.table_states.find({stream, source(flow).schema().table});
        if (checkpoint == state.checkpoints.end() || table == state.table_states.end() ||
            table->second.status != drivers::TableStatus::Live) {
            return;
        }
        auto at = checkpoint->second.position;
        if (at.empty() || model::compare(at, table->second.joined_at) < 0) {
            at = table->second.joined_at;
        }
        EXPECT_EQ(target_rows(flow), source(flow).rows_at(at)) << flow << " at " << at.to_string();
    }

    /// What the transfer log of a side has of one kind, of the flow `persons`.
    std::map<StreamPoint, engine::HandOver> logged(Side& side, engine::HandOverKind kind) {
        std::map<StreamPoint, engine::HandOver> found;
        const auto visit = [&](const engine::LoggedHandOver& logged) {
            const auto& it = logged.hand_over;
            EXPECT_EQ(logged.node, side.config.node);
            EXPECT_FALSE(it.outcome);
            if (it.kind == kind && it.flow == "persons") {
                found[it.point] = it;
            }
        };
        const auto read =
            world.run(engine::read_transfer_log(*side.disk, "state/transfer-log", visit));
        EXPECT_TRUE(read && read->damage.empty());
        return found;
    }

    bool all_arrived() {
        return target_rows("persons") == source("persons").rows() &&
               target_rows("parcels") == source("parcels").rows();
    }

    /// Until everything has arrived, or so long.
    bool arrive(Duration most) {
        for (Duration waited{}; waited < most; waited += milliseconds(200)) {
            if (all_arrived()) {
                return true;
            }
            wait(milliseconds(200));
        }
        return false;
    }

    Result<std::unique_ptr<capture::DataSource>> source(
        const FlowConfig& flow, StopSignal& /*stop*/
    ) override {
        return sources_.at(flow.name)->open();
    }

    Task<Result<std::unique_ptr<drivers::TableReader>>> reader(
        const FlowConfig& /*flow*/, StopSignal& /*stop*/
    ) override {
        co_return Error(ErrorCode::Config, "nothing to compare");
    }

    Result<Target> target(const FlowConfig& /*flow*/, StopSignal& /*stop*/) override {
        Target target;
        target.database = std::make_unique<Forward>(target_database);
        target.structures = std::make_unique<NoStructures>();
        return target;
    }

    ManualWorld world;
    MemoryTransport network;
    ModelDatabase target_database;
    std::mt19937_64 random;
    Side city{*this, "city", 11};
    Side province{*this, "province", 12};

private:
    static constexpr uint16_t kPort = 7440;

    void add_flow(const std::string& name, uint64_t seed, engine::Custody custody) {
        static const auto key = crypto::PrivateKey::generate(crypto::KeyKind::Sm2);
        auto& source = *sources_.emplace(name, std::make_unique<LivingSource>(world, name, seed))
                            .first->second;
        target_database.create_table(source.target_table());
        FlowConfig flow;
        flow.name = name;
        flow.peer = "province";
        flow.tables = {"public.*"};
        flow.custody = custody;
        city.config.flows.push_back(flow);
        city.identity.receivers[name] = key->public_key();
        FlowConfig end;
        end.name = name;
        end.role = FlowRole::Target;
        end.peer = "city";
        province.config.flows.push_back(end);
        province.identity.wrapping = {key};
    }

    static Task<void> run(Side& side) {
        side.ended = co_await side.agent->run(*side.stop);
        side.running = false;
    }

    std::map<std::string, std::unique_ptr<LivingSource>> sources_;
    TaskScope scope_;
};

}  // namespace qiao::agent::testing
