#pragma once

#include "qiao/common/bytes.h"
#include "qiao/common/result.h"
#include "qiao/drivers/table_reader.h"
#include "qiao/model/tuple.h"

#include <optional>
#include <vector>

namespace qiao::drivers::postgres::internal {

/// Turns the messages of a binary COPY into tuples whose columns have the forms asked for.
class CopyRowReader {
public:
    explicit CopyRowReader(const std::vector<CanonicalColumn>& columns) : columns_(columns) {}

    /// The row of one message, a view valid until the next call; empty at the end mark.
    /// Errors: drivers.statement for a message that is not of that form.
    Result<std::optional<model::Tuple>> read(ByteView message);

private:
    const std::vector<CanonicalColumn>& columns_;
    bool head_seen_ = false;
    Bytes tuple_;
};

}  // namespace qiao::drivers::postgres::internal
