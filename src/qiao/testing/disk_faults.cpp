#include "qiao/testing/disk_faults.h"

namespace qiao::testing {
namespace {

bool needs_space(DiskOp op) {
    switch (op) {
        case DiskOp::Create:
        case DiskOp::Write:
        case DiskOp::Sync:
        case DiskOp::SyncFolder:
        case DiskOp::Rename:
        case DiskOp::MakeFolder:
            return true;
        default:
            return false;
    }
}

}  // namespace

std::string_view to_text(DiskOp op) {
    constexpr std::array<std::string_view, kDiskOps> kNames{
        "open",
        "create",
        "read",
        "write",
        "truncate",
        "sync",
        "sync of a folder",
        "rename",
        "remove",
        "make a folder",
        "list",
        "lock"
    };
    return kNames.at(static_cast<size_t>(op));
}

std::string_view to_text(DiskFailure failure) {
    switch (failure) {
        case DiskFailure::Error:
            return "fails";
        case DiskFailure::Full:
            return "meets a full disk";
        case DiskFailure::Crash:
            break;
    }
    return "is the last before a crash";
}

void DiskFaults::strike(DiskOp op, uint64_t n, DiskFailure failure) {
    aim_ = Aim{op, count(op) + n, failure};
    struck_ = false;
}

std::optional<DiskFailure> DiskFaults::begin(DiskOp op) {
    const auto number = ++counts_.at(static_cast<size_t>(op));
    if (!aim_ || aim_->op != op || aim_->at != number) {
        return std::nullopt;
    }
    struck_ = true;
    return aim_->failure;
}

std::string FaultPoint::to_string() const {
    return std::string(testing::to_text(op)) + " " + std::to_string(n) + " " +
           std::string(testing::to_text(failure));
}

std::string FaultCount::to_string() const {
    auto text = std::to_string(all) + " points";
    for (size_t op = 0; op < kDiskOps; ++op) {
        if (of_op.at(op) != 0) {
            text += (text.ends_with("points") ? ": " : ", ") + std::to_string(of_op.at(op)) + " " +
                    std::string(to_text(static_cast<DiskOp>(op)));
        }
    }
    return text;
}

FaultCount sweep_faults(
    std::initializer_list<DiskFailure> failures,
    const std::function<std::optional<bool>(const FaultPoint&)>& play
) {
    FaultCount count;
    for (const auto failure : failures) {
        for (size_t number = 0; number < kDiskOps; ++number) {
            const auto op = static_cast<DiskOp>(number);
            if (failure == DiskFailure::Full && !needs_space(op)) {
                continue;
            }
            for (uint64_t n = 1;; ++n) {
                const auto met = play({op, failure, n});
                if (!met) {
                    return count;
                }
                if (!*met) {
                    break;
                }
                ++count.of_op.at(number);
                ++count.all;
            }
        }
    }
    return count;
}

}  // namespace qiao::testing
