#include "play.h"

#include <fmt/format.h>

#include <random>
#include <span>

namespace qiao::sim {
namespace {

struct Weight {
    ActKind kind;
    uint32_t weight;
};

constexpr auto kWeights = std::to_array<Weight>({
    {ActKind::Nothing, 20},      {ActKind::Load, 10},         {ActKind::CutLink, 10},
    {ActKind::CutAfterBytes, 8}, {ActKind::RefuseLink, 2},    {ActKind::SwallowLink, 2},
    {ActKind::SlowLink, 4},      {ActKind::Kill, 8},          {ActKind::End, 4},
    {ActKind::FailChange, 4},    {ActKind::CrashAtChange, 8}, {ActKind::FullDisk, 2},
    {ActKind::CutSource, 6},     {ActKind::CrashSource, 4},   {ActKind::FlakySource, 4},
    {ActKind::FlakyTarget, 6},   {ActKind::UnknownCommit, 8}, {ActKind::JumpClock, 2},
    {ActKind::StartTwin, 3},     {ActKind::LoseDisk, 2},      {ActKind::Compare, 3},
    {ActKind::Stranger, 2},
});

/// In one play of some they come beside the others.
constexpr auto kMendable = std::to_array<Weight>({
    {ActKind::RefuseRows, 3},
    {ActKind::Replay, 3},
    {ActKind::ForeignWrite, 3},
    {ActKind::Compare, 3},
});
constexpr uint64_t kMendableEvery = 3;
constexpr uint64_t kMendableOfActs = 10;

/// In one play of some others.
constexpr auto kShapes = std::to_array<Weight>({
    {ActKind::AlterTable, 5},
    {ActKind::FollowShape, 4},
    {ActKind::PauseTable, 2},
    {ActKind::ResyncTable, 3},
    {ActKind::Noise, 5},
    {ActKind::GarbleSource, 3},
    {ActKind::RefuseRows, 2},
    {ActKind::Compare, 2},
});
constexpr uint64_t kShapesEvery = 3;
constexpr uint64_t kShapesOfActs = 12;

/// In one play of some, and at most two of them: the flow may stop for good.
constexpr auto kDisasters = std::to_array<ActKind>(
    {ActKind::RestoreDisk,
     ActKind::RotTrail,
     ActKind::RotTrail,
     ActKind::RotTrail,
     ActKind::RecreateSlot,
     ActKind::RestoreTarget,
     ActKind::TwinSource,
     ActKind::RestoreSource}
);
constexpr uint64_t kDisasterEvery = 4;

ActKind draw(std::mt19937_64& random, std::span<const Weight> weights) {
    uint32_t all = 0;
    for (const auto& weight : weights) {
        all += weight.weight;
    }
    auto left = static_cast<uint32_t>(random() % all);
    for (const auto& weight : weights) {
        if (left < weight.weight) {
            return weight.kind;
        }
        left -= weight.weight;
    }
    return ActKind::Nothing;
}

/// Small numbers are as likely as large ones.
uint64_t spread(std::mt19937_64& random, uint64_t most) {
    uint64_t bound = 1;
    while (bound < most && random() % 3 != 0) {
        bound *= 2;
    }
    return random() % std::min(bound, most) + 1;
}

}  // namespace

std::string_view name_of(ActKind kind) {
    switch (kind) {
        case ActKind::Nothing:
            return "nothing";
        case ActKind::Load:
            return "load";
        case ActKind::CutLink:
            return "link cut";
        case ActKind::CutAfterBytes:
            return "link cut in a message";
        case ActKind::RefuseLink:
            return "link refused";
        case ActKind::SwallowLink:
            return "link half-open";
        case ActKind::SlowLink:
            return "link slow";
        case ActKind::Kill:
            return "node killed";
        case ActKind::End:
            return "node ended";
        case ActKind::FailChange:
            return "disk operation failed";
        case ActKind::CrashAtChange:
            return "power cut at a disk operation";
        case ActKind::FullDisk:
            return "disk full";
        case ActKind::CutSource:
            return "source sessions cut";
        case ActKind::CrashSource:
            return "source crashed";
        case ActKind::FlakySource:
            return "source flaky";
        case ActKind::FlakyTarget:
            return "target flaky";
        case ActKind::UnknownCommit:
            return "commit unknown";
        case ActKind::JumpClock:
            return "clock jump";
        case ActKind::StartTwin:
            return "two owners at once";
        case ActKind::LoseDisk:
            return "disk lost";
        case ActKind::Compare:
            return "comparison";
        case ActKind::Stranger:
            return "stranger";
        case ActKind::RefuseRows:
            return "rows refused";
        case ActKind::Replay:
            return "replay";
        case ActKind::ForeignWrite:
            return "foreign write";
        case ActKind::AlterTable:
            return "table altered";
        case ActKind::FollowShape:
            return "target altered too";
        case ActKind::PauseTable:
            return "table paused";
        case ActKind::ResyncTable:
            return "resync";
        case ActKind::Noise:
            return "noise at the port";
        case ActKind::GarbleSource:
            return "source garbled";
        case ActKind::RestoreDisk:
            return "disk restored";
        case ActKind::RotTrail:
            return "rotten bit";
        case ActKind::RecreateSlot:
            return "slot made again";
        case ActKind::RestoreTarget:
            return "target restored";
        case ActKind::TwinSource:
            return "source's node twice";
        case ActKind::RestoreSource:
            return "source restored";
    }
    return "?";
}

std::string Act::tell() const {
    const auto* node = right ? "the target's node" : "the source's node";
    const auto ms = std::chrono::duration_cast<milliseconds>(after).count();
    const auto when = fmt::format("after {}.{:03} s: ", ms / 1000, ms % 1000);
    switch (kind) {
        case ActKind::Nothing:
            return when + "nothing";
        case ActKind::Load:
            return when + fmt::format("the application makes {} statements a second", a);
        case ActKind::CutLink:
            return when + "every connection between the nodes is cut";
        case ActKind::CutAfterBytes:
            return when + fmt::format("the link is cut when {} more bytes have gone over", a);
        case ActKind::RefuseLink:
            return when + fmt::format("for {} ms nobody can connect", a);
        case ActKind::SwallowLink:
            return when + "the connections swallow everything without a word";
        case ActKind::SlowLink:
            return when + fmt::format("the link takes {} ms, in pieces of {} bytes", a, b);
        case ActKind::Kill:
            return when + fmt::format("{} loses its power for {} ms", node, a);
        case ActKind::End:
            return when + fmt::format("{} is ended and started after {} ms", node, a);
        case ActKind::FailChange:
            return when + fmt::format("operation {} of the disk of {} fails", a, node);
        case ActKind::CrashAtChange:
            return when + fmt::format("{} loses its power at operation {} of its disk", node, a);
        case ActKind::FullDisk:
            return when + fmt::format("the disk of {} is full for {} ms", node, a);
        case ActKind::CutSource:
            return when + "every session of the source's database is cut";
        case ActKind::CrashSource:
            return when + "the source's database loses its power";
        case ActKind::FlakySource:
            return when + fmt::format("{} of 1000 answers of the source do not come", a);
        case ActKind::FlakyTarget:
            return when + fmt::format("the target fails in {} of 1000 calls", a);
        case ActKind::UnknownCommit:
            return when + fmt::format(
                              "the reply of the target's next commit is lost; it {}",
                              b != 0 ? "took effect" : "did not"
                          );
        case ActKind::JumpClock:
            return when + fmt::format("the wall clocks jump by {} ms", static_cast<int64_t>(a));
        case ActKind::StartTwin:
            return when + fmt::format("a copy of the target's node runs beside it for {} ms", a);
        case ActKind::LoseDisk:
            return when + fmt::format("{} comes again with an empty disk", node);
        case ActKind::Compare:
            return when + fmt::format("an operator compares{}", b != 0 ? " and repairs" : "");
        case ActKind::Stranger:
            return when + "a third node offers what is not its own";
        case ActKind::RefuseRows:
            return when + fmt::format("for {} ms the target refuses a tenth of a table's rows", a);
        case ActKind::Replay:
            return when + "an operator has what was laid aside replayed";
        case ActKind::ForeignWrite:
            return when + "somebody else writes into the target's tables";
        case ActKind::AlterTable:
            return when + fmt::format("the source alters a table ({}, {})", a, b);
        case ActKind::FollowShape:
            return when + "the target's tables are altered as the source's, and go on";
        case ActKind::PauseTable:
            return when + fmt::format("an operator pauses table {} for {} ms", b % 3, a);
        case ActKind::ResyncTable:
            return when + fmt::format("an operator has table {} loaded anew", b % 3);
        case ActKind::Noise:
            return when + fmt::format("somebody speaks nonsense to the target's node ({})", a % 12);
        case ActKind::GarbleSource:
            return when + fmt::format("{} messages of the source make no sense", a);
        case ActKind::RestoreDisk:
            return when + fmt::format("{} has the disk that it had {} acts before", node, a);
        case ActKind::RotTrail:
            return when + fmt::format("a file of the trail of {} rots ({}, {})", node, a, b);
        case ActKind::RecreateSlot:
            return when + "somebody drops the source's slot and makes it again";
        case ActKind::RestoreTarget:
            return when + fmt::format("the target's database is what it was {} acts before", a);
        case ActKind::TwinSource:
            return when + fmt::format("a copy of the source's node runs beside it for {} ms", a);
        case ActKind::RestoreSource:
            return when + fmt::format("the source's database is what it was {} acts before", a);
    }
    return when;
}

Play write_play(uint64_t seed, size_t acts) {
    std::mt19937_64 random(seed ^ 0x9e3779b97f4a7c15U);
    Play play;
    play.push_back({{}, ActKind::Load, false, 20 + random() % 100, 0});
    while (play.size() < acts) {
        Act act;
        act.after = milliseconds(random() % 3 == 0 ? spread(random, 300) : random() % 5000);
        const bool mendable = seed % kMendableEvery == 1 && random() % kMendableOfActs == 0;
        const bool shapes = seed % kShapesEvery == 2 && random() % kShapesOfActs == 0;
        act.kind = mendable ? draw(random, kMendable)
                   : shapes ? draw(random, kShapes)
                            : draw(random, kWeights);
        act.right = random() % 2 == 0;
        switch (act.kind) {
            case ActKind::Load:
                act.a = random() % 4 == 0 ? 0 : spread(random, 400);
                break;
            case ActKind::CutAfterBytes:
                act.a = spread(random, 100'000);
                break;
            case ActKind::SlowLink:
                act.a = random() % 3 == 0 ? 0 : spread(random, 500);
                act.b = 100 + spread(random, 20'000);
                break;
            case ActKind::FailChange:
                act.b = random() % 1000;
                [[fallthrough]];
            case ActKind::CrashAtChange:
                act.a = spread(random, 200);
                break;
            case ActKind::FlakySource:
            case ActKind::FlakyTarget:
                act.a = random() % 2 == 0 ? 0 : spread(random, 100);
                break;
            case ActKind::UnknownCommit:
                act.b = random() % 2;
                break;
            case ActKind::JumpClock:
                act.a = random() % 20'000 - 10'000;
                break;
            case ActKind::Compare:
                act.b = random() % 2;
                break;
            case ActKind::RefuseRows:
                // Long enough for several changes of one row to wait.
                act.a = 2000 + random() % 20'000;
                act.b = random();
                break;
            case ActKind::GarbleSource:
                act.a = 1 + random() % 3;
                break;
            case ActKind::ForeignWrite:
            case ActKind::Stranger:
            case ActKind::AlterTable:
            case ActKind::PauseTable:
            case ActKind::ResyncTable:
            case ActKind::Noise:
                act.a = spread(random, 20'000);
                act.b = random();
                break;
            default:
                act.a = spread(random, 8000);
                break;
        }
        play.push_back(act);
    }
    if (seed % kDisasterEvery == 0) {
        for (auto left = 1 + random() % 2; left > 0; --left) {
            auto& act = play[random() % play.size()];
            act.kind = kDisasters[random() % kDisasters.size()];
            act.a = act.kind == ActKind::TwinSource ? 1000 + random() % 20'000 : spread(random, 40);
            act.b = random();
        }
    }
    return play;
}

}  // namespace qiao::sim
