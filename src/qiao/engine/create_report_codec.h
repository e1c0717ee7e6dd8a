#pragma once

#include "qiao/common/bytes.h"
#include "qiao/common/result.h"
#include "qiao/drivers/structure.h"

namespace qiao::engine {

/// A report of made structures as it crosses the link. Errors of decode: link.protocol.
Bytes encode_report(const drivers::CreateReport& report);
Result<drivers::CreateReport> decode_report(ByteView bytes);

}  // namespace qiao::engine
