#include "plants.h"
#include "play.h"
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <map>

namespace {

using namespace qiao::sim;

struct Arguments {
    uint64_t first = 1;
    uint64_t seeds = 600;
    uint64_t steps = 0;
    size_t acts = 120;
    bool shrink = false;
    bool tell = false;
    bool go_on = false;
    bool plants = false;
    std::string plant;
};

struct Totals {
    uint64_t seeds = 0, transactions = 0, commits = 0, crashes = 0, torn = 0;
    size_t most_held = 0;
    Steps steps;
    std::array<uint64_t, kActKinds> acts{};
    std::map<std::string, uint64_t> stopped;
    Operator::Counts mended;
    qiao::Duration virtual_time{};

    void add(const Outcome& outcome) {
        ++seeds;
        transactions += outcome.transactions;
        commits += outcome.target_commits;
        crashes += outcome.crashes;
        torn += outcome.torn_crashes;
        most_held = std::max(most_held, outcome.most_held);
        steps.disk += outcome.steps.disk;
        steps.network += outcome.steps.network;
        steps.source += outcome.steps.source;
        steps.target += outcome.steps.target;
        steps.timers += outcome.steps.timers;
        virtual_time += outcome.virtual_time;
        mended.comparisons += outcome.mended.comparisons;
        mended.repairs += outcome.mended.repairs;
        mended.replayed += outcome.mended.replayed;
        mended.skipped += outcome.mended.skipped;
        if (!outcome.stopped.empty()) {
            ++stopped[outcome.stopped];
        }
        for (size_t i = 0; i < acts.size(); ++i) {
            acts[i] += outcome.acts[i];
        }
    }
};

void print(const Totals& totals) {
    fmt::print(
        "simulator: {} steps ({} disk, {} network, {} source, {} target, {} timers), {} seeds, "
        "{} hours of virtual time\n",
        totals.steps.all(),
        totals.steps.disk,
        totals.steps.network,
        totals.steps.source,
        totals.steps.target,
        totals.steps.timers,
        totals.seeds,
        std::chrono::duration_cast<std::chrono::hours>(totals.virtual_time).count()
    );
    fmt::print(
        "  {} transactions carried in {} commits; {} crashes of nodes, {} of them between two "
        "writes; at most {:.1f} MB of memory in a node\n",
        totals.transactions,
        totals.commits,
        totals.crashes,
        totals.torn,
        static_cast<double>(totals.most_held) / 1e6
    );
    for (size_t i = 0; i < totals.acts.size(); ++i) {
        fmt::print("  {:>8} {}\n", totals.acts[i], name_of(static_cast<ActKind>(i)));
    }
    for (const auto& [code, count] : totals.stopped) {
        fmt::print("  {:>8} stopped with {}, and mended\n", count, code);
    }
    fmt::print(
        "  {} comparisons came to an end, {} repairs of tables, {} changes replayed, {} skipped\n",
        totals.mended.comparisons,
        totals.mended.repairs,
        totals.mended.replayed,
        totals.mended.skipped
    );
}

void tell(const Play& play) {
    for (const auto& act : play) {
        fmt::print("  {}\n", act.tell());
    }
}

int tell_failure(uint64_t seed, Play play, const Outcome& outcome, bool shrinks) {
    fmt::print(
        "seed {} fails at step {}, act {}: {}\n{}",
        seed,
        outcome.at_step,
        outcome.at_act,
        outcome.failure,
        outcome.history
    );
    if (shrinks) {
        play = shrink(seed, std::move(play), outcome.failure);
        const auto shorter = perform(seed, play);
        fmt::print("it needs no more than this, and fails at step {}:\n", shorter.at_step);
        tell(play);
        fmt::print("then: {}\n", shorter.failure);
    }
    return 1;
}

int run(const Arguments& arguments) {
    Totals totals;
    int failed = 0;
    for (uint64_t i = 0; i < arguments.seeds || totals.steps.all() < arguments.steps; ++i) {
        const auto seed = arguments.first + i;
        const auto play = write_play(seed, arguments.acts);
        if (arguments.tell) {
            tell(play);
        }
        const auto outcome = perform(seed, play);
        totals.add(outcome);
        if (outcome.failed()) {
            failed = tell_failure(seed, play, outcome, arguments.shrink);
            if (!arguments.go_on) {
                return failed;
            }
        }
    }
    print(totals);
    return failed;
}

/// False: this build has no bugs to switch on.
bool set_planted(qiao::Plant bug) {
#ifdef QIAO_PLANTS
    qiao::planted = bug;
    return true;
#else
    return bug == qiao::Plant::None;
#endif
}

/// Whether the bug is caught within so many seeds.
bool is_caught(const Arguments& arguments, const PlantName& bug) {
    set_planted(bug.plant);
    for (uint64_t i = 0; i < arguments.seeds; ++i) {
        const auto seed = arguments.first + i;
        const auto outcome = perform(seed, write_play(seed, arguments.acts));
        if (outcome.failed()) {
            set_planted(qiao::Plant::None);
            fmt::print(
                "  caught: {}: seed {}, step {}: {}\n",
                bug.name,
                seed,
                outcome.at_step,
                outcome.failure
            );
            return true;
        }
    }
    set_planted(qiao::Plant::None);
    fmt::print("  NOT caught in {} seeds: {}\n", arguments.seeds, bug.name);
    return false;
}

int catch_plants(const Arguments& arguments) {
    size_t caught = 0;
    for (const auto& bug : plants()) {
        caught += is_caught(arguments, bug) ? 1 : 0;
    }
    fmt::print("planted bugs caught / planted: {} / {}\n", caught, plants().size());
    return caught == plants().size() ? 0 : 1;
}

bool plant(std::string_view name) {
    for (const auto& bug : plants()) {
        if (bug.name == name) {
            return set_planted(bug.plant);
        }
    }
    return name.empty();
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("The product's own code in a world from a seed, with faults");
    Arguments arguments;
    app.add_option("--first", arguments.first, "the first seed");
    app.add_option("--seeds", arguments.seeds, "how many");
    app.add_option("--steps", arguments.steps, "and more, until so many steps are made");
    app.add_option("--acts", arguments.acts, "of each play");
    app.add_flag("--shrink", arguments.shrink, "find out what a failure needs");
    app.add_flag("--tell", arguments.tell, "tell each play");
    app.add_flag("--go-on", arguments.go_on, "with the next seed after one that failed");
    app.add_flag("--plants", arguments.plants, "plant each bug and see that it is caught");
    app.add_option("--plant", arguments.plant, "plant this bug");
    CLI11_PARSE(app, argc, argv);
    if (!plant(arguments.plant)) {
        fmt::print(stderr, "no such bug: {}\n", arguments.plant);
        return 2;
    }
    return arguments.plants ? catch_plants(arguments) : run(arguments);
}
