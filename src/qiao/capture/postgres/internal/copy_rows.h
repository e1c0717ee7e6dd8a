#pragma once

#include "qiao/common/result.h"
#include "qiao/drivers/target_session.h"
#include "qiao/model/table.h"

#include <optional>

namespace qiao::capture::postgres::internal {

/// Takes the messages of one COPY TO STDOUT apart: each is one row, but for binary's header in
/// front and its trailer at the end, which are cut off.
class CopyRows {
public:
    CopyRows(drivers::LoadFormat format, const model::TableSchema& schema, size_t value_bytes_max)
        : format_(format), schema_(schema), value_bytes_max_(value_bytes_max) {}

    /// The row in a message, if there is one.
    /// Errors: capture.protocol; packet.too_large with table, column and key.
    Result<std::optional<ByteView>> row(ByteView message);

private:
    Result<ByteView> without_header(ByteView message);
    Status check_size(ByteView row) const;

    drivers::LoadFormat format_;
    const model::TableSchema& schema_;
    size_t value_bytes_max_;
    bool header_seen_ = false;
};

}  // namespace qiao::capture::postgres::internal
