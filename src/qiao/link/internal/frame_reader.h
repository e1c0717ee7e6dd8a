#pragma once

#include "qiao/common/clock.h"
#include "qiao/common/transport.h"
#include "qiao/link/frame.h"

namespace qiao::link::internal {

/// Cuts the bytes of a connection into frames. Small frames are read many at a time into one
/// buffer; the rest of a large body is read straight to where it stays.
class FrameReader {
public:
    FrameReader(Connection& connection, const Clock& clock)
        : connection_(connection), clock_(clock), last_heard_(clock.now()) {}

    /// Errors: link.protocol for a length out of bounds, known before anything is allocated for
    /// it; common.network_closed.
    Task<Result<RawFrame>> next();

    /// Frames are bounded more tightly until the peer is known.
    void lift_hello_bound() { bound_ = kFrameBytesMax; }

    MonoTime last_heard() const { return last_heard_; }

    uint64_t bytes() const { return bytes_; }

private:
    static constexpr size_t kBufferBytes = size_t{256} << 10U;

    size_t buffered() const { return end_ - begin_; }

    Task<Status> fill(size_t wanted);
    Task<Status> read_into(MutableByteView into);
    Task<Result<size_t>> read_once(MutableByteView into);

    Connection& connection_;
    const Clock& clock_;
    Bytes buffer_ = Bytes(kBufferBytes);
    size_t begin_ = 0;
    size_t end_ = 0;
    size_t bound_ = kHelloBytesMax;
    MonoTime last_heard_;
    uint64_t bytes_ = 0;
};

}  // namespace qiao::link::internal
