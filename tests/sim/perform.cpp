#include "performance.h"
#include <fmt/format.h>

#include <algorithm>

// The course of a play.
namespace qiao::sim {
namespace {

/// For everything to get going again when the faults have stopped: back-offs go up to a minute.
constexpr Duration kArriveMost = std::chrono::minutes(15);
constexpr Duration kMendMost = std::chrono::minutes(60);
constexpr Duration kLookEvery = milliseconds(500);
constexpr int kReplaysMost = 60;  ///< looks, before what is refused again is skipped
/// Of a node's disk: the trail's budget, what it may exceed it by, and everything else.
constexpr uint64_t kDiskMost = 12U << 20U;
/// Of a node's memory: what a trail may gather while its disk stands still, and everything else.
constexpr size_t kMemoryMost = 24U << 20U;

/// What its status says that is wrong, the most important first.
std::vector<std::optional<Error>> errors_of(const agent::FlowStatus& flow) {
    std::vector<std::optional<Error>> errors{flow.last_error};
    for (const auto& stage : flow.stages) {
        errors.push_back(stage.last_error);
    }
    return errors;
}

}  // namespace

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
    if (world_.most_held() > kMemoryMost) {
        outcome_.failure = fmt::format("a node held {} bytes of memory", world_.most_held());
    }
    if (!referee_.look()) {
        outcome_.failure = referee_.failure();
    }
    for (const auto* failure :
         {&stranger_.failure(), &operator_.failure(), &world_.server.failure()}) {
        if (!failure->empty()) {
            outcome_.failure = *failure;
        }
    }
    hear_what_is_said();
    look_at_other_flow();
    return outcome_.failure.empty();
}

/// A process that has ended says nothing any more.
void Performance::hear_what_is_said() {
    if (!world_.server.unsaid()) {
        return;
    }
    const auto flow = world_.flow(world_.left());
    const bool said = flow.last_error || std::ranges::any_of(flow.stages, [](const auto& stage) {
                          return stage.last_error.has_value();
                      });
    if (said || !world_.left().running || world_.source_twin().running) {
        world_.server.hear_said();
    }
}

/// Nothing that has no meaning is taken for applied.
void Performance::look_at_other_flow() {
    const auto& checkpoints = world_.target_database.committed().checkpoints;
    const auto other = checkpoints.find(world_.other_stream());
    if (other != checkpoints.end() &&
        other->second.point.sequence.value > Stranger::kMeansSomething) {
        outcome_.failure = "a packet without a meaning was applied";
    }
}

void Performance::look_at_packets() {
    for (const auto* side : {&world_.left(), &world_.right()}) {
        packets_.look(side->name, *side->disk);
    }
    if (!packets_.failure().empty()) {
        outcome_.failure = packets_.failure();
    }
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

/// The faults stop; whatever is down comes again.
void Performance::make_peace() {
    world_.set_load(0);
    world_.server.end_transactions();
    world_.server.shorten(world_.left().config.flows.front().value_bytes_max);
    world_.server.lost = world_.server.garbled = 0;
    world_.target_database.faults = {};
    world_.target_database.refusals.clear();
    world_.target_database.next_commits.clear();
    world_.network.set_refusing(false);
    world_.network.set_delay({});
    world_.network.set_chunk_bytes(SIZE_MAX);
    world_.network.cut_after(UINT64_MAX);
    for (auto* side : {&world_.left(), &world_.right()}) {
        side->disk->set_capacity(UINT64_MAX);
        side->disk->fail_change(UINT64_MAX / 2);
        side->disk->spare();
        side->disk->crash_at_change(UINT64_MAX / 2);
        world_.start(*side);
    }
    later_.clear();
    world_.kill(world_.twin());
    world_.kill(world_.source_twin());
}

/// What a comparison says is true, and what it has mended is expected from then on.
void Performance::look_at_operator() {
    const auto verdict = operator_.ended();
    if (!verdict) {
        return;
    }
    if (*verdict == verify::Verdict::Equal) {
        referee_.expect(excused_before_);
        referee_.prove(columns_before_);
    }
    const bool clean = clean_before_ && !disaster_ && !is_doubtful() &&
                       referee_.doubtful_columns().empty() && referee_.excused().empty() &&
                       referee_.laid_aside() == 0;
    if (*verdict == verify::Verdict::Different && clean) {
        outcome_.failure = "a comparison finds differences where there are none";
    }
}

/// What waits is replayed, what is refused again is skipped after a while, and what somebody has
/// changed, or was skipped, or was found different while it waited, is repaired.
void Performance::mend() {
    tend_tables();
    if (referee_.laid_aside() != 0) {
        operator_.replay(++replays_ > kReplaysMost);
    }
    const auto flow = world_.flow(world_.left());
    const bool told = flow.comparison && !flow.comparison->different.empty();
    const bool changed = told || is_doubtful() || !referee_.excused().empty() ||
                         referee_.laid_aside() != 0 || operator_.counts().skipped != 0;
    if (changed && !settled()) {
        compare({.repair = true});
    }
}

bool Performance::settled() {
    return referee_.arrived() && referee_.excused().empty() && referee_.laid_aside() == 0 &&
           world_.flow(world_.left()).green && world_.flow(world_.right()).green;
}

void Performance::see_it_arrive() {
    const auto give_up = world_.clock.now() + kArriveMost;
    while (!outcome_.failed() && !settled()) {
        look_at_disks();
        look_at_operator();
        mend();
        if (world_.clock.now() < give_up) {
            pass(kLookEvery);
        } else if (disaster_) {
            see_it_stop();
            see_it_mended();
            return;
        } else {
            outcome_.failure = referee_.arrived() ? "it arrived, and does not turn green"
                                                  : "it did not arrive when the faults had stopped";
        }
    }
}

/// The way that is told to operators for a flow that cannot go on.
void Performance::see_it_mended() {
    const auto give_up = world_.clock.now() + kMendMost;
    while (!outcome_.failed() && !settled()) {
        look_at_operator();
        tend_tables();
        if (referee_.laid_aside() != 0) {
            operator_.replay(++replays_ > kReplaysMost);
        }
        compare({.repair = true, .reopen = true});
        if (world_.clock.now() >= give_up) {
            outcome_.failure = "no repair mends it after " + outcome_.stopped;
        }
        pass(kLookEvery);
    }
}

/// At rest nothing is done but a heartbeat now and then. What was put back a moment ago can look
/// settled before anybody has noticed: then it has to arrive once more.
void Performance::see_it_rest() {
    constexpr int64_t kBeats = 20;
    for (bool again = true; again && !outcome_.failed();) {
        while (operator_.comparing() && !outcome_.failed()) {
            look_at_operator();
            pass(kLookEvery);
        }
        const auto before = world_.server.messages();
        pass(kBeat * kBeats);
        const auto beats = world_.server.messages() - before;
        const bool rests = beats >= kBeats / 2 && beats <= kBeats + 2;
        again = !rests && disaster_ && !settled();
        if (again) {
            see_it_arrive();
        } else if (!rests && !outcome_.failed()) {
            outcome_.failure = fmt::format("{} heartbeats in the time of {}", beats, kBeats);
        }
    }
}

/// It cannot go on, and says so at one end at least.
void Performance::see_it_stop() {
    for (auto* side : {&world_.left(), &world_.right()}) {
        const auto flow = world_.flow(*side);
        if (flow.green) {
            outcome_.failure = side->name + " is green, and not everything arrived";
        }
        auto errors = errors_of(flow);
        errors.push_back(side->process->status().last_error);
        for (const auto& error : errors) {
            if (outcome_.stopped.empty() && error && !error->transient()) {
                outcome_.stopped = error->info().name;
            }
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
    world_.while_ending = [this] { hear_what_is_said(); };
    world_.start(world_.right());
    world_.start(world_.left());
    for (const auto& next : play_) {
        pass(next.after);
        if (outcome_.failed()) {
            break;
        }
        keep_images();
        look_at_disks();
        look_at_packets();
        look_at_operator();
        act(next);
        ++outcome_.at_act;
    }
    if (!outcome_.failed()) {
        make_peace();
        see_it_arrive();
        look_at_packets();
        see_it_rest();
    }
    outcome_.steps = world_.steps();
    outcome_.at_step = outcome_.steps.all();
    outcome_.virtual_time = world_.clock.now() - begun;
    outcome_.transactions = world_.server.commits();
    outcome_.target_commits = world_.target_database.counters().commits;
    outcome_.most_held = world_.most_held();
    outcome_.mended = operator_.counts();
    world_.while_ending = nullptr;
    if (outcome_.failed()) {
        outcome_.history += "operator: " + operator_.trouble() + "\n" + tell_flow();
    }
    return std::move(outcome_);
}

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
