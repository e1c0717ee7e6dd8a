#include "world.h"

#include "qiao/common/async/sleep.h"

#include "heap.h"
#include "model_reader.h"

namespace qiao::sim {
namespace {

constexpr uint16_t kPort = 7440;
constexpr const char* kFlow = "register";
/// Small, so that segments come and go, and a full budget is met.
constexpr uint64_t kSegmentBytes = 64U << 10U;
constexpr uint64_t kBudgetBytes = 2U << 20U;
constexpr Duration kGrace = seconds(20);

class NoStructures final : public engine::StructureMaker {
public:
    Task<Result<drivers::CreateReport>> create(
        drivers::Structure /*structure*/, drivers::StructurePhase /*phase*/
    ) override {
        co_return drivers::CreateReport{};
    }

    Task<Result<drivers::CreateReport>> advance_sequences(
        std::vector<drivers::SequenceValue> /*values*/
    ) override {
        co_return drivers::CreateReport{};
    }
};

class Forward final : public drivers::TargetDatabase {
public:
    explicit Forward(drivers::model_db::ModelDatabase& database) : database_(database) {}

    Task<Result<std::unique_ptr<drivers::TargetSession>>> connect() override {
        return database_.connect();
    }

    std::string display() const override { return database_.display(); }

private:
    drivers::model_db::ModelDatabase& database_;
};

/// Made once: what matters is not which.
const std::shared_ptr<const crypto::PrivateKey>& wrapping_key() {
    static const std::shared_ptr<const crypto::PrivateKey> key =
        crypto::PrivateKey::generate(crypto::KeyKind::P256);
    return key;
}

}  // namespace

/// What the twin's source keeps lies on the twin's disk.
class World::SourceTwin final : public agent::Databases {
public:
    explicit SourceTwin(World& world) : world_(world) {}

    Result<std::unique_ptr<capture::DataSource>> source(
        const agent::FlowConfig& /*flow*/, StopSignal& stop
    ) override {
        return world_.make_source(*world_.source_twin_.disk, stop);
    }

    Result<agent::Target> target(const agent::FlowConfig& flow, StopSignal& stop) override {
        return world_.target(flow, stop);
    }

    Task<Result<std::unique_ptr<drivers::TableReader>>> reader(
        const agent::FlowConfig& flow, StopSignal& stop
    ) override {
        return world_.reader(flow, stop);
    }

private:
    World& world_;
};

World::World(uint64_t seed)
    : clock(seed),
      network(clock, clock),
      server(clock, seed + 1),
      target_database(clock, clock, seed + 2),
      nowhere_(clock, clock),
      source_twin_databases_(std::make_unique<SourceTwin>(*this)),
      left_(make_side("city", network, seed + 3)),
      right_(make_side("province", network, seed + 4)),
      twin_(make_side("province", nowhere_, seed + 6)),
      source_twin_(make_side("city", network, seed + 7)),
      stream_(agent::flow_stream(kFlow, "city", "province")),
      application_random_(seed + 5),
      scope_(clock) {
    configure(seed);
    make_tables(seed);
    scope_.spawn(application());
}

World::~World() {
    end(left_);
    end(right_);
    end(twin_);
    end(source_twin_);
    ended_.request();
    while (clock.step()) {
    }
}

World::Side World::make_side(std::string name, testing::MemoryTransport& transport, uint64_t seed) {
    Side side;
    side.name = name;
    side.network = &transport;
    side.databases = this;
    side.config.node = name;
    side.config.state = "state";
    side.config.trail = {kBudgetBytes, kGrace, kSegmentBytes};
    side.disk = std::make_unique<testing::MemoryStorage>(clock, seed);
    side.authenticator = std::make_unique<link::PlainAuthenticator>(clock, std::move(name));
    return side;
}

void World::configure(uint64_t seed) {
    agent::FlowConfig begin;
    begin.name = kFlow;
    begin.peer = right_.name;
    begin.tables = {"public.*"};
    begin.heartbeat = kBeat;
    begin.suite = "intl";
    begin.custody = seed % 2 == 0 ? engine::Custody::Hop : engine::Custody::End;
    if (seed % 5 < 3) {  // what is large is divided
        begin.sizes.packet_bytes = size_t{500} << (seed % 7);
        begin.sizes.transaction_bytes_max = size_t{2000} << (seed % 3);
    }
    if (seed % 6 == 5) {
        begin.sizes.laid_aside_max = 12;
    } else if (seed % 6 == 4) {  // what waits for the link is bounded closely
        for (auto* side : {&left_, &right_}) {
            side->config.link_sizes = {size_t{64} << 10U, size_t{64} << 10U};
            side->config.rates = {{.bytes_per_second = 20'000, .to = 720}};
        }
    }
    if (seed % 9 == 7) {
        begin.value_bytes_max = 2600;
    }
    begin.existing = seed % 11 == 5;
    begin.readers = 1 + seed % 2;
    left_.config.flows.push_back(begin);
    left_.config.peers.push_back({right_.name, {right_.name, kPort}});
    left_.identity.receivers[kFlow] = wrapping_key()->public_key();
    source_twin_.config = left_.config;
    source_twin_.identity = left_.identity;
    source_twin_.databases = source_twin_databases_.get();

    agent::FlowConfig end;
    end.name = kFlow;
    end.role = agent::FlowRole::Target;
    end.peer = left_.name;
    end.heartbeat = kBeat;
    end.sizes = begin.sizes;
    end.report_foreign_changes = seed % 7 == 3;
    auto other = end;
    other.name = kOtherFlow;
    other.peer = kStranger;
    beats_ = seed % 4 != 3;
    for (auto* side : {&right_, &twin_}) {
        side->config.flows.push_back(end);
        side->config.flows.push_back(other);
        side->config.listen = Endpoint{"*", kPort};
        side->identity.wrapping = {wrapping_key()};
    }
}

/// In some worlds both ends hold to unique and foreign keys.
void World::make_tables(uint64_t seed) {
    server.constrain(seed % 4 == 1, seed % 6 == 2 || seed % 15 == 7);
    if (seed % 4 < 2) {
        server.set_home(right_.name);
    }
    for (const auto& table : server.tables()) {
        target_database.create_table(target_table(table));
    }
    for (const auto& table : server.tables()) {
        if (table.refers) {
            const auto& parent = server.tables()[*table.referred].name;
            target_database.add_foreign_key({table.name, {table.columns[*table.refers]}, parent});
        }
    }
}

void World::replace_disk(Side& side, std::unique_ptr<testing::MemoryStorage> disk) {
    end(side);
    lost_disks_ += side.disk->changes() + side.disk->reads();
    side.disk = std::move(disk);
}

void World::start(Side& side) {
    if (side.running) {
        return;
    }
    auto settings = std::make_shared<agent::Settings>(side.config, side.identity);
    side.process = std::make_unique<agent::Agent>(
        agent::Seams{
            clock, clock, clock, *side.disk, *side.network, *side.authenticator, *side.databases
        },
        std::move(settings),
        "sim"
    );
    side.stop = std::make_unique<StopSignal>();
    side.running = true;
    ++side.starts;
    scope_.spawn(run(side));
}

Task<void> World::run(Side& side) {
    (void)co_await side.process->run(*side.stop);
    side.running = false;
}

void World::end(Side& side) {
    if (!side.process) {
        return;
    }
    const auto before = heap_bytes();
    side.stop->request();
    while (side.running && clock.step()) {
        if (while_ending) {
            while_ending();
        }
    }
    QIAO_ASSERT(!side.running);
    side.process.reset();
    const auto after = heap_bytes();
    most_held_ = std::max(most_held_, before - std::min(before, after));
}

void World::kill(Side& side) {
    side.disk->crash();
    end(side);
    side.disk->restart();
}

void World::run(Duration duration, const std::function<bool()>& look) {
    bool over = false;
    const auto timer = clock.make_timer();
    timer->start(clock.now() + duration, [&over] { over = true; });
    while (!over && look() && clock.step()) {
    }
}

Task<void> World::application() {
    constexpr Duration kRest = milliseconds(200);
    while (!ended_.requested()) {
        const auto mean = load_ == 0 ? kRest : Duration(seconds(1)) / static_cast<int64_t>(load_);
        const auto pause = mean * static_cast<int64_t>(application_random_() % 200) / 100;
        const auto slept = co_await sleep_for(clock, clock, pause, ended_);
        if (!slept) {
            break;
        }
        if (load_ != 0) {
            server.work();
        }
    }
}

std::string World::flow_name() { return kFlow; }

std::unique_ptr<drivers::TargetDatabase> World::open_target() {
    return std::make_unique<Forward>(target_database);
}

agent::FlowStatus World::flow(Side& side) const {
    if (side.process) {
        auto status = side.process->status();
        if (!status.flows.empty()) {
            return std::move(status.flows.front());
        }
    }
    return {};
}

Steps World::steps() const {
    Steps steps;
    steps.disk = lost_disks_;
    for (const auto* side : {&left_, &right_, &twin_, &source_twin_}) {
        steps.disk += side->disk->changes() + side->disk->reads();
    }
    steps.network = network.pieces();
    steps.source = server.answers();
    steps.target = target_database.counters().calls;
    steps.timers = clock.timers_fired();
    return steps;
}

Result<std::unique_ptr<capture::DataSource>> World::source(
    const agent::FlowConfig& /*flow*/, StopSignal& stop
) {
    return make_source(*left_.disk, stop);
}

std::unique_ptr<capture::DataSource> World::make_source(Storage& disk, StopSignal& stop) {
    return std::make_unique<ModelDataSource>(ModelDataSource::Parts{
        server,
        clock,
        stop,
        disk,
        "state",
        kBeat,
        beats_,
        left_.config.flows.front().value_bytes_max
    });
}

Result<agent::Target> World::target(const agent::FlowConfig& /*flow*/, StopSignal& /*stop*/) {
    agent::Target target;
    target.database = std::make_unique<Forward>(target_database);
    target.structures = std::make_unique<NoStructures>();
    return target;
}

Task<Result<std::unique_ptr<drivers::TableReader>>> World::reader(
    const agent::FlowConfig& flow, StopSignal& /*stop*/
) {
    const bool source = flow.role == agent::FlowRole::Source;
    co_return source ? source_reader(server) : target_reader(server, target_database);
}

}  // namespace qiao::sim
