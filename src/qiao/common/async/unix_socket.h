#pragma once

#include "qiao/common/poller.h"
#include "qiao/common/transport.h"

#include <memory>
#include <string>

namespace qiao {

// Stream sockets in the file system, for commands that speak to a process of the same machine.
// `poller` (an EventLoop) outlives what is made here.

/// Makes the socket's file with mode 0600; one that nobody listens on any more is replaced. The
/// file goes with the listener. local() has the path as host.
/// Errors: common.config when the path is too long or another process listens on it,
/// common.storage_io.
Result<std::unique_ptr<Listener>> listen_unix(Poller& poller, std::string path);

/// Errors: common.network_unreachable when nobody listens there, common.config.
Task<Result<std::unique_ptr<Connection>>> connect_unix(Poller& poller, std::string path);

}  // namespace qiao
