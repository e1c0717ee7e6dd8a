#pragma once

#include "qiao/common/async/pace.h"
#include "qiao/common/clock.h"
#include "qiao/common/result.h"

#include <cstdint>
#include <utility>

namespace qiao::drivers {

/// What may be taken of a source at most; 0: no bound.
struct SourceLimits {
    size_t connections = 0;
    uint64_t rows_per_second = 0;  ///< that are read: first loads and comparisons
    Duration statement_time{0};    ///< of one statement; the server ends a longer one
    bool operator==(const SourceLimits&) const = default;
};

/// What is taken, beside the bounds.
struct SourceUsage {
    SourceLimits limits;
    size_t connections = 0, connections_most = 0;
    uint64_t rows_per_second = 0;  ///< in the last whole second
    Duration longest_statement{0};
};

/// Keeps the work of one flow at its source within bounds, and counts it. All connections of the
/// flow share it; it outlives them.
class SourceCaps {
public:
    SourceCaps(Executor& executor, Clock& clock, SourceLimits limits)
        : clock_(clock), limits_(limits), pace_(executor, clock, limits.rows_per_second) {}

    /// One connection's place, given back with it.
    class Place {
    public:
        explicit Place(SourceCaps* caps = nullptr) : caps_(caps) {}

        Place(Place&& other) noexcept : caps_(std::exchange(other.caps_, nullptr)) {}

        Place& operator=(Place&& other) noexcept {
            std::swap(caps_, other.caps_);
            return *this;
        }

        Place(const Place&) = delete;
        Place& operator=(const Place&) = delete;

        ~Place() {
            if (caps_ != nullptr) {
                --caps_->connections_;
            }
        }

    private:
        SourceCaps* caps_;
    };

    /// Errors: drivers.resource when all places are taken.
    Result<Place> take_place();

    /// Waits until `rows` more may be read. Errors: common.cancelled.
    Task<Status> pass(uint64_t rows, StopSignal& stop);

    void note_statement(Duration took);

    const SourceLimits& limits() const { return limits_; }

    SourceUsage usage() const;

private:
    void count(uint64_t rows);

    Clock& clock_;
    SourceLimits limits_;
    Pace pace_;
    size_t connections_ = 0;
    size_t connections_most_ = 0;
    Duration longest_{0};
    MonoTime second_{};  ///< when the one that is counted began
    uint64_t rows_now_ = 0;
    uint64_t rows_before_ = 0;
};

}  // namespace qiao::drivers
