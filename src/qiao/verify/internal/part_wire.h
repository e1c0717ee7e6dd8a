#pragma once

#include "qiao/common/bytes.h"
#include "qiao/drivers/table_part.h"
#include "qiao/verify/internal/wire.h"

#include <optional>

namespace qiao::verify::internal {

/// The rows of a table in a message. Layout: docs/reference/formats/verify.md. Spec: R-36
void put_part(ByteWriter& out, const drivers::TablePart& part);
drivers::TablePart get_part(Decoder& in);

void put_range(ByteWriter& out, const drivers::RangeWanted& wanted);
/// None: the message has none, or cannot be read.
std::optional<drivers::RangeWanted> get_range(Decoder& in);

}  // namespace qiao::verify::internal
