#include "qiao/drivers/source_caps.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::drivers {
namespace {

constexpr Duration kSecond = std::chrono::seconds(1);

}  // namespace

Result<SourceCaps::Place> SourceCaps::take_place() {
    if (limits_.connections != 0 && connections_ >= limits_.connections) {
        return Error(
            ErrorCode::DbResource,
            fmt::format(
                "`source_limits`: {} of {} connections are open", connections_, limits_.connections
            )
        );
    }
    ++connections_;
    connections_most_ = std::max(connections_most_, connections_);
    return Place(this);
}

Task<Status> SourceCaps::pass(uint64_t rows, StopSignal& stop) {
    auto passed = co_await pace_.pass(rows, stop);
    count(rows);
    co_return passed;
}

void SourceCaps::count(uint64_t rows) {
    const auto now = clock_.now();
    if (now - second_ >= kSecond) {
        rows_before_ = now - second_ < 2 * kSecond ? rows_now_ : 0;
        rows_now_ = 0;
        second_ = now;
    }
    rows_now_ += rows;
}

void SourceCaps::note_statement(Duration took) { longest_ = std::max(longest_, took); }

SourceUsage SourceCaps::usage() const {
    const auto age = clock_.now() - second_;
    const auto rows = age < kSecond ? rows_before_ : age < 2 * kSecond ? rows_now_ : 0;
    return {limits_, connections_, connections_most_, rows, longest_};
}

}  // namespace qiao::drivers
