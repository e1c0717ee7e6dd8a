#pragma once

#include "qiao/common/async/event.h"
#include "qiao/common/clock.h"
#include "qiao/common/transport.h"

#include <limits>
#include <map>
#include <memory>
#include <vector>

namespace qiao::testing {

/// A network in memory, on a test's executor and clock, with faults on demand. Endpoints are
/// matched by port alone. What is written arrives in order, after the delay, in pieces of at most
/// the chunk size; a reader that does not read holds its writer back after kPipeBytes.
class MemoryTransport final : public Transport {
public:
    MemoryTransport(Executor& executor, Clock& clock);
    ~MemoryTransport() override;

    Task<Result<std::unique_ptr<Connection>>> connect(
        Endpoint to, Deadline deadline, StopSignal& stop
    ) override;
    Result<std::unique_ptr<Listener>> listen(Endpoint at) override;

    /// Faults, for connections there are and those to come.
    void set_delay(Duration delay) { delay_ = delay; }

    void set_chunk_bytes(size_t most) { chunk_bytes_ = most; }

    /// New connections are refused: common.network_unreachable.
    void set_refusing(bool refusing) { refusing_ = refusing; }

    /// Every connection ends at once; bytes on the way are lost.
    void cut();

    /// Every connection ends when so many more bytes were written, of both directions together.
    void cut_after(uint64_t bytes) { bytes_left_ = bytes; }

    /// Half-open: the present connections swallow everything without a word, for good.
    void swallow();

    uint64_t connections_made() const { return connections_made_; }

    uint64_t bytes_carried() const { return bytes_carried_; }

    /// What was written, and read, in one.
    uint64_t pieces() const { return pieces_; }

private:
    static constexpr size_t kPipeBytes = size_t{256} << 10U;
    static constexpr uint64_t kNoCut = std::numeric_limits<uint64_t>::max();

    class Pipe;
    class MemoryConnection;
    class MemoryListener;

    Executor& executor_;
    Clock& clock_;
    Duration delay_{0};
    size_t chunk_bytes_ = std::numeric_limits<size_t>::max();
    bool refusing_ = false;
    uint64_t bytes_left_ = kNoCut;
    uint64_t connections_made_ = 0;
    uint64_t bytes_carried_ = 0;
    uint64_t pieces_ = 0;
    uint16_t next_port_ = 40000;
    std::vector<std::weak_ptr<Pipe>> pipes_;
    std::map<uint16_t, MemoryListener*> listeners_;
};

}  // namespace qiao::testing
