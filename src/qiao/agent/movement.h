#pragma once

#include "qiao/common/id.h"
#include "qiao/common/time.h"

#include <cstdint>
#include <deque>
#include <optional>

namespace qiao::agent {

enum class Moving : uint8_t { Unknown, Yes, No };

/// Whether a flow moves, told by what comes out at its far end, never by what goes in. The source
/// writes a heartbeat every so often; as long as the packets that hold them come out, rows do.
/// Sampled about once a second.
class Movement {
public:
    /// `heartbeat`: 0 when the source writes none, so that silence proves nothing.
    Movement(Duration heartbeat, MonoTime started) : heartbeat_(heartbeat), changed_(started) {}

    struct In {
        StreamPoint point;   ///< the newest packet of rows or heartbeat that went in
        WallTime event;      ///< the source's time of the newest change or heartbeat in it
        uint64_t bytes = 0;  ///< gone in so far
    };

    /// `out`: the newest packet known to have come out.
    void sample(MonoTime now, const In& in, StreamPoint out);

    Moving moving(MonoTime now) const;
    /// Age of the newest change or heartbeat that came out. None: nothing has yet.
    std::optional<Duration> lag(WallTime now) const;
    /// Gone in and not come out.
    uint64_t lag_bytes() const;

    /// When something came out; none: nothing has yet.
    const std::optional<MonoTime>& last_out() const { return last_out_; }

private:
    static constexpr size_t kSamplesMost = 4096;

    struct Sample {
        In in;
        MonoTime at;
    };

    /// Three heartbeats may be late or lost before it counts as standing still.
    Duration patience() const { return heartbeat_ * 3 + std::chrono::seconds(5); }

    Duration heartbeat_;
    MonoTime changed_;  ///< the last sign, or the start
    In newest_in_;
    std::optional<In> newest_out_;
    std::optional<MonoTime> last_out_;
    std::deque<Sample> waiting_;  ///< gone in, not come out: one of `stride_` samples
    uint64_t stride_ = 1, unsampled_ = 0;
};

}  // namespace qiao::agent
