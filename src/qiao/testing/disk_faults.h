#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

// Which operation of a disk fails, and how; and the sweep over all of them that a story needs.
namespace qiao::testing {

/// What somebody asks a disk for.
enum class DiskOp : uint8_t {
    Open,
    Create,
    Read,
    Write,
    Truncate,
    Sync,
    SyncFolder,
    Rename,
    Remove,
    MakeFolder,
    List,
    Lock,
};

constexpr size_t kDiskOps = 12;

std::string_view to_text(DiskOp op);

enum class DiskFailure : uint8_t {
    Error,  ///< once, with common.storage_io
    Full,   ///< with common.storage_full, as all that needs space from then on: until free_space()
    Crash,  ///< it is done, perhaps not to its end, and behind it the machine stops
};

std::string_view to_text(DiskFailure failure);

/// Counts the operations of one disk and strikes one of them.
class DiskFaults {
public:
    /// The n-th `op` from now (1: the next) fails, whatever was to be struck before.
    void strike(DiskOp op, uint64_t n, DiskFailure failure);

    /// Nothing is struck from now on.
    void spare() { aim_.reset(); }

    /// An operation begins. None: nothing strikes it.
    std::optional<DiskFailure> begin(DiskOp op);

    bool struck() const { return struck_; }

    uint64_t count(DiskOp op) const { return counts_.at(static_cast<size_t>(op)); }

private:
    struct Aim {
        DiskOp op = DiskOp::Open;
        uint64_t at = 0;
        DiskFailure failure = DiskFailure::Error;
    };

    std::array<uint64_t, kDiskOps> counts_{};
    std::optional<Aim> aim_;
    bool struck_ = false;
};

/// One fault of a sweep: the `n`-th `op` of a story.
struct FaultPoint {
    DiskOp op = DiskOp::Open;
    DiskFailure failure = DiskFailure::Error;
    uint64_t n = 1;

    std::string to_string() const;
};

/// How many points of a story a sweep has struck.
struct FaultCount {
    std::array<uint64_t, kDiskOps> of_op{};
    uint64_t all = 0;

    uint64_t of(DiskOp op) const { return of_op.at(static_cast<size_t>(op)); }

    /// "134 points: 12 open, 30 write …"
    std::string to_string() const;
};

/// Plays the same story with its 1st, 2nd, 3rd … operation of each kind struck in each of the ways,
/// until one runs to its end without having met its fault. `play` tells whether it met it; none:
/// something went wrong, and the sweep ends. A full disk strikes only what needs space.
FaultCount sweep_faults(
    std::initializer_list<DiskFailure> failures,
    const std::function<std::optional<bool>(const FaultPoint&)>& play
);

}  // namespace qiao::testing
