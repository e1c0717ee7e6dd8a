#pragma once

#include "qiao/common/async/stop.h"
#include "qiao/common/async/task.h"
#include "qiao/common/bytes.h"
#include "qiao/common/result.h"
#include "qiao/common/time.h"

#include <cstdint>
#include <memory>
#include <string>

namespace qiao {

struct Endpoint {
    std::string host;  ///< name, IPv4 or IPv6 address without brackets
    uint16_t port = 0;
    /// `host:port`, IPv6 in brackets.
    std::string to_string() const;
    /// Reads what to_string writes. Errors: common.config.
    static Result<Endpoint> parse(std::string_view text);
};

/// One byte stream of the Transport seam. One read and one write may be under way at once.
class Connection {
public:
    virtual ~Connection() = default;

    /// At least one byte, or common.network_closed at the end.
    virtual Task<Result<size_t>> read_some(MutableByteView into) = 0;
    virtual Task<Status> write_all(ByteView bytes) = 0;
    /// Ends both directions at once; pending operations end with common.network_closed.
    virtual void close() = 0;
    virtual Endpoint peer() const = 0;
};

class Listener {
public:
    virtual ~Listener() = default;
    /// Errors: common.cancelled after close().
    virtual Task<Result<std::unique_ptr<Connection>>> accept() = 0;
    virtual void close() = 0;
    /// The port in use, also when the kernel chose it.
    virtual Endpoint local() const = 0;
};

/// The network as a seam: TCP in production, the simulator's own in tests. TLS lies above it.
/// Source: rules 30. Spec: R-76
class Transport {
public:
    virtual ~Transport() = default;
    /// Tries every address of the name, IPv6 and IPv4, until one answers.
    /// Errors: common.network_unreachable, common.deadline_passed, common.cancelled.
    virtual Task<Result<std::unique_ptr<Connection>>> connect(
        Endpoint to, Deadline deadline, StopSignal& stop
    ) = 0;
    /// An empty host or `*` listens on IPv6 and IPv4; port 0 lets the kernel choose.
    virtual Result<std::unique_ptr<Listener>> listen(Endpoint at) = 0;
};

}  // namespace qiao
