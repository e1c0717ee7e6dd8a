#pragma once

#include "operator.h"
#include "world.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qiao::sim {

/// What can happen to a world.
enum class ActKind : uint8_t {
    Nothing,        ///< it goes on
    Load,           ///< `a` statements a second from now on
    CutLink,        ///< every connection ends
    CutAfterBytes,  ///< … when `a` more bytes have gone over
    RefuseLink,     ///< nobody can connect for a while
    SwallowLink,    ///< connections are half-open: nothing comes out any more
    SlowLink,       ///< `a` milliseconds on the way, in pieces of `b` bytes
    Kill,           ///< a node loses its power and comes again after `a` milliseconds
    End,            ///< a node ends in order and comes again
    FailChange,     ///< the `a`-th change of a node's disk fails
    CrashAtChange,  ///< a node loses its power in front of the `a`-th change of its disk
    FullDisk,       ///< a node's disk is full for `a` milliseconds
    CutSource,      ///< every session of the source's server ends
    CrashSource,    ///< the source's server loses its power
    FlakySource,    ///< so many thousandths of its answers do not come, for a while
    FlakyTarget,    ///< the target's connections, locks and commits fail, for a while
    UnknownCommit,  ///< the reply of the next commit is lost; `b`: it took effect
    JumpClock,      ///< wall clocks go `a` milliseconds on, or back
    StartTwin,      ///< a copy of the target's node runs beside it for `a` milliseconds
    LoseDisk,       ///< a node comes again with an empty disk
    Compare,        ///< an operator compares both ends; `b`: and repairs
    Stranger,       ///< a third node offers what is not its own
    // In some plays: after these a row may differ at the target, until an operator has mended it.
    RefuseRows,    ///< the target takes no rows of table `b` whose key … for `a` milliseconds
    Replay,        ///< an operator has what was laid aside replayed
    ForeignWrite,  ///< somebody else changes a row at the target
    AlterTable,    ///< the source alters table `b` in the way of `a`
    FollowShape,   ///< the target's owner alters it too, and an operator lets it go on
    PauseTable,    ///< an operator pauses table `b` for `a` milliseconds
    ResyncTable,   ///< an operator has table `b` loaded anew
    Noise,         ///< somebody speaks to the port of the target's node, and not as he should
    GarbleSource,  ///< the next `a` messages of the source's log make no sense
    // After these the flow may stop, and must then say why; see Outcome::stopped.
    RestoreDisk,    ///< a node comes again with what its disk held `a` acts before
    RotTrail,       ///< a file of a node's trail rots; even `a`: and the node loses its power
    RecreateSlot,   ///< the source's slot is dropped and made again
    RestoreTarget,  ///< the target's database is what it was `a` acts before
    TwinSource,     ///< a copy of the source's node runs beside it for `a` milliseconds
    RestoreSource,  ///< the source's server is what it was `a` acts before; odd `b`: by its log
};
constexpr size_t kActKinds = 37;

std::string_view name_of(ActKind kind);

/// One thing that happens, so long after the one before.
struct Act {
    Duration after{};
    ActKind kind = ActKind::Nothing;
    bool right = false;  ///< at the target's node
    uint64_t a = 0, b = 0;

    /// For people.
    std::string tell() const;
};

using Play = std::vector<Act>;

/// What happens in the world of this seed.
Play write_play(uint64_t seed, size_t acts);

/// What became of a play.
struct Outcome {
    std::string stopped;  ///< the code by which the flow said that it could not go on
    std::string failure;  ///< empty: every invariant held, and everything arrived in the end
    uint64_t at_step = 0;
    size_t at_act = 0;
    Duration virtual_time{};
    Steps steps;
    std::array<uint64_t, kActKinds> acts{};  ///< by kind
    uint64_t transactions = 0;               ///< of the source that the target has
    uint64_t target_commits = 0;
    uint64_t crashes = 0;       ///< of nodes
    uint64_t torn_crashes = 0;  ///< between two changes of a disk
    size_t most_held = 0;       ///< of memory, by a node, in bytes
    Operator::Counts mended;    ///< by the operator
    std::string history;        ///< what happened to the flow, for a failure

    bool failed() const { return !failure.empty(); }
};

/// Acts it out: the same seed and play give the same outcome.
Outcome perform(uint64_t seed, const Play& play);

/// As few of its acts as still fail so, by leaving out halves, quarters … and single ones.
Play shrink(uint64_t seed, Play play, const std::string& failure);

}  // namespace qiao::sim
