#pragma once

#include "qiao/common/result.h"
#include "qiao/drivers/target_session.h"
#include "qiao/model/table.h"

#include <optional>

namespace qiao::drivers {

/// The row at the front of `in`, which stands in a load's bulk format and is moved past it: as the
/// bytes of a tuple. Columns of `schema` that are generated are not in the bulk, and null in the
/// tuple. Errors: packet.malformed.
Result<Bytes> take_tuple(LoadFormat format, const model::TableSchema& schema, ByteReader& in);

/// One whole row of the bulk as a tuple without its values above `most` bytes; none when it has no
/// such value. Errors: packet.malformed. Source: rules 4
Result<std::optional<Bytes>> withhold_row(
    LoadFormat format, const model::TableSchema& schema, ByteView row, size_t most
);

}  // namespace qiao::drivers
