#pragma once

#include "qiao/agent/agent.h"
#include "qiao/common/async/scope.h"
#include "qiao/drivers/model/model_database.h"
#include "qiao/link/plain_authenticator.h"
#include "qiao/testing/memory_storage.h"
#include "qiao/testing/memory_transport.h"

#include "model_source.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace qiao::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Between two heartbeats of the source.
constexpr Duration kBeat = seconds(2);

/// What the product's own code has completed: I/O, messages and timers. One of them is a step.
struct Steps {
    uint64_t disk = 0, network = 0, source = 0, target = 0, timers = 0;

    uint64_t all() const { return disk + network + source + target + timers; }
};

/// Two agents with one flow from a model server to a model database, each with a disk, over a
/// network, all of it in memory and moved by one seed. Nothing happens but in run_until().
class World final : public agent::Databases {
public:
    explicit World(uint64_t seed);
    ~World() override;

    /// One node: what its machine keeps, and the process that runs on it now.
    struct Side {
        std::string name;
        testing::MemoryTransport* network = nullptr;
        agent::AgentConfig config;
        agent::Identity identity;
        std::unique_ptr<testing::MemoryStorage> disk;
        std::unique_ptr<link::PlainAuthenticator> authenticator;
        agent::Databases* databases = nullptr;
        std::unique_ptr<agent::Agent> process;
        std::unique_ptr<StopSignal> stop;
        bool running = false;
        uint64_t starts = 0;
    };

    Side& left() { return left_; }

    Side& right() { return right_; }

    /// The target's node once more, on a copy of its disk and without a link: somebody has
    /// started a machine's snapshot beside it.
    Side& twin() { return twin_; }

    /// The source's node once more, on a copy of its disk and beside it on the network.
    Side& source_twin() { return source_twin_; }

    void start(Side& side);
    /// In order. Time passes meanwhile, of which `while_ending` is told turn by turn.
    void end(Side& side);
    /// As kill -9 and a power cut: the disk keeps what it kept.
    void kill(Side& side);

    std::function<void()> while_ending;

    /// A disk in the place of the node's, which is down.
    void replace_disk(Side& side, std::unique_ptr<testing::MemoryStorage> disk);

    /// So long, or until `look` says no. `look` is asked after every turn.
    void run(Duration duration, const std::function<bool()>& look);

    /// What the application does from now on: statements a second; 0: it rests.
    void set_load(uint64_t statements_per_second) { load_ = statements_per_second; }

    agent::FlowStatus flow(Side& side) const;

    StreamId stream() const { return stream_; }

    static std::string flow_name();

    // Another flow that ends at the target's node, of which nothing ever comes.
    static constexpr const char* kStranger = "county";
    static constexpr const char* kOtherFlow = "visits";

    StreamId other_stream() const { return agent::flow_stream(kOtherFlow, kStranger, right_.name); }

    /// For an operator's own connections.
    std::unique_ptr<drivers::TargetDatabase> open_target();

    engine::Custody custody() const { return left_.config.flows.front().custody; }

    Steps steps() const;

    /// Bytes of memory, the most that a node gave back when it ended or was killed, which it is at
    /// any step: what it held then, give or take what the others did meanwhile.
    size_t most_held() const { return most_held_; }

    testing::ManualWorld clock;
    testing::MemoryTransport network;
    ModelServer server;
    drivers::model_db::ModelDatabase target_database;

    // Of agent::Databases.
    Result<std::unique_ptr<capture::DataSource>> source(
        const agent::FlowConfig& flow, StopSignal& stop
    ) override;
    Result<agent::Target> target(const agent::FlowConfig& flow, StopSignal& stop) override;
    Task<Result<std::unique_ptr<drivers::TableReader>>> reader(
        const agent::FlowConfig& flow, StopSignal& stop
    ) override;

private:
    class SourceTwin;

    std::unique_ptr<capture::DataSource> make_source(Storage& disk, StopSignal& stop);
    void configure(uint64_t seed);
    void make_tables(uint64_t seed);
    Side make_side(std::string name, testing::MemoryTransport& transport, uint64_t seed);
    static Task<void> run(Side& side);
    Task<void> application();

    testing::MemoryTransport nowhere_;  ///< a network without anybody else
    std::unique_ptr<SourceTwin> source_twin_databases_;
    Side left_, right_, twin_, source_twin_;
    size_t most_held_ = 0;
    uint64_t lost_disks_ = 0;  ///< operations of disks that are no more
    StreamId stream_;
    std::mt19937_64 application_random_;
    uint64_t load_ = 0;
    bool beats_ = true;
    StopSignal ended_;
    TaskScope scope_;
};

}  // namespace qiao::sim
