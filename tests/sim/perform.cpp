#include "play.h"
#include "referee.h"
#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace qiao::sim {
namespace {

/// For everything to get going again when the faults have stopped: back-offs go up to a minute.
constexpr Duration kArriveMost = std::chrono::minutes(15);
constexpr Duration kGreenMost = std::chrono::minutes(10);
constexpr Duration kLookEvery = milliseconds(500);
/// Of a node's disk: the trail's budget, what it may exceed it by, and everything else.
constexpr uint64_t kDiskMost = 12U << 20U;

class Performance {
public:
    Performance(uint64_t seed, const Play& play) : world_(seed), referee_(world_), play_(play) {}

    Outcome run();

private:
    /// Something to be done later in the play.
    struct Later {
        MonoTime at;
        std::function<void()> what;
    };

    World::Side& side(const Act& act) { return act.right ? world_.right() : world_.left(); }

    void pass(Duration duration);
    void act(const Act& act);
    void act_on_link(const Act& act);
    void act_on_node(const Act& act);
    void act_on_databases(const Act& act);
    void act_on_disk(const Act& act);
    void start_twin(uint64_t ms);
    void rot_trail(World::Side& side, uint64_t chance);
    void keep_images();
    void look_at_disks();
    void see_it_stop();
    void see_it_rest();
    void power_cut(World::Side& side, Duration down);
    void later(uint64_t ms, std::function<void()> what);
    bool look();
    void make_peace();
    void see_it_arrive();
    std::string tell_flow();

    World world_;
    Referee referee_;
    const Play& play_;
    Outcome outcome_;
    std::vector<Later> later_;
    bool disaster_ = false;
    bool lost_disk_ = false;
    /// By the number of the act that puts it back.
    std::map<size_t, std::unique_ptr<testing::MemoryStorage>> disks_;
    std::map<size_t, std::map<std::string, ServerSlot>> slots_;
    std::map<size_t, drivers::model_db::State> targets_;
};

bool is_disaster(ActKind kind) { return kind >= ActKind::RestoreDisk; }

/// What is put back later is what it was so many acts before.
void Performance::keep_images() {
    for (size_t later = outcome_.at_act; later < play_.size(); ++later) {
        const auto& act = play_[later];
        const bool now = later - std::min<size_t>(later, act.a) == outcome_.at_act;
        if (now && act.kind == ActKind::RestoreDisk) {
            disks_[later] = side(act).disk->copy(act.b);
            slots_[later] = world_.server.slots;
        } else if (now && act.kind == ActKind::RestoreTarget) {
            targets_[later] = world_.target_database.committed();
        }
    }
}

void Performance::start_twin(uint64_t ms) {
    auto& twin = world_.twin();
    if (twin.running) {
        return;
    }
    world_.replace_disk(twin, world_.right().disk->copy(ms));
    world_.start(twin);
    later(ms, [this, &twin] { world_.kill(twin); });
}

void Performance::rot_trail(World::Side& side, uint64_t chance) {
    auto paths = side.disk->paths();
    std::erase_if(paths, [](const std::string& path) {
        return !path.starts_with("state/trail/") || path.ends_with("lock");
    });
    if (paths.empty()) {
        return;
    }
    const auto& path = paths[chance % paths.size()];
    const auto size = side.disk->content(path)->size();
    if (size != 0) {
        side.disk->flip(path, chance / paths.size() % size);
    }
}

void Performance::act_on_disk(const Act& act) {
    auto& node = side(act);
    if (act.kind == ActKind::RotTrail) {
        rot_trail(node, act.b);
        return;
    }
    const bool custodian = act.right && world_.custody() == engine::Custody::Hop;
    if (act.kind == ActKind::LoseDisk && custodian) {
        return;  // what it held and the target had not applied would be lost with it
    }
    lost_disk_ = true;
    auto disk = act.kind == ActKind::LoseDisk
                    ? std::make_unique<testing::MemoryStorage>(world_.clock, act.a)
                    : std::move(disks_[outcome_.at_act]);
    world_.replace_disk(node, std::move(disk));
    if (act.kind == ActKind::RestoreDisk && !act.right) {
        // The server lost its power too, and has not written its slots since.
        world_.server.crash();
        for (const auto& [name, slot] : slots_[outcome_.at_act]) {
            world_.server.slots[name].confirmed = slot.confirmed;
        }
    }
    world_.start(node);
}

bool Performance::look() {
    for (auto* side : {&world_.left(), &world_.right()}) {
        if (side->disk->crashed()) {
            ++outcome_.torn_crashes;
            power_cut(*side, seconds(1));
        }
        if (side->disk->used_bytes() > kDiskMost) {
            outcome_.failure =
                fmt::format("{} has {} bytes on its disk", side->name, side->disk->used_bytes());
        }
    }
    if (!referee_.look()) {
        outcome_.failure = referee_.failure();
    }
    return outcome_.failure.empty();
}

/// No disk of theirs rots or is put back by itself: what a node has said to hold it holds, and what
/// it has made durable it can read.
void Performance::look_at_disks() {
    if (disaster_) {
        return;
    }
    for (auto* side : {&world_.left(), &world_.right()}) {
        if (!side->process) {
            continue;
        }
        const auto status = side->process->status();
        if (status.trail.damage != 0) {
            outcome_.failure = side->name + " finds its trail damaged";
        }
        if (!lost_disk_ && !status.flows.empty() && status.flows.front().went_back != 0) {
            outcome_.failure = "a packet that was acknowledged is not held any more";
        }
    }
}

/// What was put off happens in its place.
void Performance::pass(Duration duration) {
    const auto end = world_.clock.now() + duration;
    while (!outcome_.failed()) {
        const auto next = std::ranges::min_element(later_, {}, &Later::at);
        const auto until = next == later_.end() ? end : std::min(end, next->at);
        const auto now = world_.clock.now();
        world_.run(std::max(Duration::zero(), until - now), [this] { return look(); });
        const auto due = std::ranges::find_if(later_, [this](const Later& one) {
            return one.at <= world_.clock.now();
        });
        if (due != later_.end()) {
            const auto what = std::move(due->what);
            later_.erase(due);
            what();
        } else if (world_.clock.now() >= end) {
            return;
        }
    }
}

void Performance::later(uint64_t ms, std::function<void()> what) {
    later_.push_back({world_.clock.now() + milliseconds(ms), std::move(what)});
}

void Performance::power_cut(World::Side& side, Duration down) {
    ++outcome_.crashes;
    world_.kill(side);
    const auto ms = std::chrono::duration_cast<milliseconds>(down).count();
    later(static_cast<uint64_t>(ms), [this, &side] { world_.start(side); });
}

void Performance::act(const Act& act) {
    disaster_ = disaster_ || is_disaster(act.kind);
    ++outcome_.acts[static_cast<size_t>(act.kind)];
    switch (act.kind) {
        case ActKind::Nothing:
            break;
        case ActKind::Load:
            world_.set_load(act.a);
            break;
        case ActKind::JumpClock:
            world_.clock.jump_wall(milliseconds(static_cast<int64_t>(act.a)));
            break;
        case ActKind::CutLink:
        case ActKind::CutAfterBytes:
        case ActKind::RefuseLink:
        case ActKind::SwallowLink:
        case ActKind::SlowLink:
            act_on_link(act);
            break;
        case ActKind::CutSource:
        case ActKind::CrashSource:
        case ActKind::FlakySource:
        case ActKind::FlakyTarget:
        case ActKind::UnknownCommit:
        case ActKind::RecreateSlot:
        case ActKind::RestoreTarget:
            act_on_databases(act);
            break;
        case ActKind::StartTwin:
            start_twin(act.a);
            break;
        case ActKind::LoseDisk:
        case ActKind::RestoreDisk:
        case ActKind::RotTrail:
            act_on_disk(act);
            break;
        default:
            act_on_node(act);
            break;
    }
}

void Performance::act_on_link(const Act& act) {
    auto& network = world_.network;
    if (act.kind == ActKind::CutLink) {
        network.cut();
    } else if (act.kind == ActKind::CutAfterBytes) {
        network.cut_after(act.a);
    } else if (act.kind == ActKind::RefuseLink) {
        network.set_refusing(true);
        network.cut();
        later(act.a, [&network] { network.set_refusing(false); });
    } else if (act.kind == ActKind::SwallowLink) {
        network.swallow();
    } else {
        network.set_delay(milliseconds(act.a));
        network.set_chunk_bytes(act.b);
    }
}

void Performance::act_on_node(const Act& act) {
    auto& node = side(act);
    if (act.kind == ActKind::Kill) {
        power_cut(node, milliseconds(act.a));
    } else if (act.kind == ActKind::End) {
        world_.end(node);
        later(act.a, [this, &node] { world_.start(node); });
    } else if (act.kind == ActKind::FailChange) {
        node.disk->fail_change(act.a);
    } else if (act.kind == ActKind::CrashAtChange) {
        node.disk->crash_at_change(act.a);
    } else {
        node.disk->set_capacity(node.disk->used_bytes() + act.a % 1000);
        later(act.a, [&node] { node.disk->set_capacity(UINT64_MAX); });
    }
}

void Performance::act_on_databases(const Act& act) {
    auto& target = world_.target_database;
    if (act.kind == ActKind::CutSource) {
        world_.server.cut_sessions();
    } else if (act.kind == ActKind::CrashSource) {
        world_.server.crash();
    } else if (act.kind == ActKind::FlakySource) {
        world_.server.lost = static_cast<uint32_t>(act.a);
    } else if (act.kind == ActKind::FlakyTarget) {
        const auto much = static_cast<uint32_t>(act.a);
        target.faults = {
            .connect_refused = much,
            .lost = much / 4,
            .serialization = much / 2,
            .resource = much / 8,
            .commit_unknown = much
        };
    } else if (act.kind == ActKind::RecreateSlot) {
        world_.server.cut_sessions();
        for (auto& [name, slot] : world_.server.slots) {
            slot.confirmed = slot.on_disk = world_.server.end();
        }
    } else if (act.kind == ActKind::RestoreTarget) {
        target.restore(std::move(targets_[outcome_.at_act]));
        referee_.forget();
    } else {
        using Fate = drivers::model_db::ModelDatabase::CommitFate;
        target.next_commits.push_back(act.b != 0 ? Fate::UnknownCommitted : Fate::UnknownLost);
    }
}

/// The faults stop; whatever is down comes again.
void Performance::make_peace() {
    world_.set_load(0);
    world_.server.end_transactions();
    world_.server.lost = 0;
    world_.target_database.faults = {};
    world_.target_database.next_commits.clear();
    world_.network.set_refusing(false);
    world_.network.set_delay({});
    world_.network.set_chunk_bytes(SIZE_MAX);
    world_.network.cut_after(UINT64_MAX);
    for (auto* side : {&world_.left(), &world_.right()}) {
        side->disk->set_capacity(UINT64_MAX);
        side->disk->fail_change(UINT64_MAX / 2);
        side->disk->crash_at_change(UINT64_MAX / 2);
        world_.start(*side);
    }
    later_.clear();
    world_.kill(world_.twin());
}

void Performance::see_it_arrive() {
    const auto give_up = world_.clock.now() + kArriveMost;
    while (!outcome_.failed() && !referee_.arrived()) {
        look_at_disks();
        if (world_.clock.now() >= give_up && disaster_) {
            see_it_stop();
            return;
        }
        if (world_.clock.now() >= give_up) {
            outcome_.failure = "it did not arrive when the faults had stopped";
            return;
        }
        pass(kLookEvery);
    }
    const auto green_by = world_.clock.now() + kGreenMost;
    const auto green = [this] {
        return world_.flow(world_.left()).green && world_.flow(world_.right()).green;
    };
    while (!outcome_.failed() && !green()) {
        if (world_.clock.now() >= green_by && disaster_) {
            see_it_stop();
            return;
        }
        if (world_.clock.now() >= green_by) {
            outcome_.failure = "it arrived, and does not turn green";
            return;
        }
        pass(kLookEvery);
    }
}

/// At rest nothing is done but a heartbeat now and then.
void Performance::see_it_rest() {
    constexpr int64_t kBeats = 20;
    if (outcome_.failed() || !outcome_.stopped.empty()) {
        return;
    }
    const auto before = world_.server.messages();
    pass(kBeat * kBeats);
    const auto beats = world_.server.messages() - before;
    if (beats < kBeats / 2 || beats > kBeats + 2) {
        outcome_.failure = fmt::format("{} heartbeats in the time of {}", beats, kBeats);
    }
}

/// It cannot go on, and says so at one end at least.
void Performance::see_it_stop() {
    for (auto* side : {&world_.left(), &world_.right()}) {
        const auto flow = world_.flow(*side);
        if (flow.green) {
            outcome_.failure = side->name + " is green, and not everything arrived";
        }
        const auto& own = side->process->status().last_error;
        const auto error = flow.last_error ? flow.last_error : own;
        if (outcome_.stopped.empty() && error && !error->transient()) {
            outcome_.stopped = error->info().name;
        }
    }
    if (outcome_.stopped.empty() && !outcome_.failed()) {
        outcome_.failure = "it stands still and does not say why";
    }
}

std::string Performance::tell_flow() {
    std::string text;
    for (auto* side : {&world_.left(), &world_.right()}) {
        text += side->name + ":\n";
        text += side->process ? to_text(side->process->status(), Language::English) : "  down\n";
    }
    return text;
}

Outcome Performance::run() {
    const auto begun = world_.clock.now();
    world_.start(world_.right());
    world_.start(world_.left());
    for (const auto& next : play_) {
        pass(next.after);
        if (outcome_.failed()) {
            break;
        }
        keep_images();
        look_at_disks();
        act(next);
        ++outcome_.at_act;
    }
    if (!outcome_.failed()) {
        make_peace();
        see_it_arrive();
        see_it_rest();
    }
    outcome_.steps = world_.steps();
    outcome_.at_step = outcome_.steps.all();
    outcome_.virtual_time = world_.clock.now() - begun;
    outcome_.transactions = world_.server.commits();
    outcome_.target_commits = world_.target_database.counters().commits;
    if (outcome_.failed()) {
        outcome_.history = tell_flow();
    }
    return std::move(outcome_);
}

}  // namespace

Outcome perform(uint64_t seed, const Play& play) { return Performance(seed, play).run(); }

namespace {

/// What failed, without the numbers and rows of one story.
std::string kind_of(const std::string& failure) {
    constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz ,";
    return failure.substr(0, failure.find_first_not_of(kLetters));
}

}  // namespace

Play shrink(uint64_t seed, Play play, const std::string& failure) {
    for (size_t piece = std::max<size_t>(play.size() / 2, 1); piece > 0;) {
        bool shorter = false;
        for (size_t from = 0; from < play.size();) {
            auto fewer = play;
            const auto end = std::min(from + piece, play.size());
            fewer.erase(
                fewer.begin() + static_cast<ptrdiff_t>(from),
                fewer.begin() + static_cast<ptrdiff_t>(end)
            );
            const auto outcome = perform(seed, fewer);
            if (outcome.failed() && kind_of(outcome.failure) == kind_of(failure)) {
                play = std::move(fewer);
                shorter = true;
            } else {
                from = end;
            }
        }
        piece = piece == 1 && shorter ? 1 : piece / 2;
    }
    return play;
}

}  // namespace qiao::sim
