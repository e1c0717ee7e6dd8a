#pragma once

#include "qiao/common/bytes.h"
#include "qiao/common/result.h"
#include "qiao/packet/header.h"

namespace qiao::packet {

/// The body compressed, or an empty buffer when that would not make it smaller.
Bytes compress(ByteView body, Compression how);

/// Errors: packet.malformed when the bytes are not exactly `raw_bytes` (already bounded by
/// kPacketBytesMax) compressed like this.
Result<Bytes> decompress(ByteView body, Compression how, size_t raw_bytes);

}  // namespace qiao::packet
