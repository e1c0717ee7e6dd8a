#pragma once

#include "qiao/common/result.h"
#include "qiao/drivers/target_session.h"

#include <optional>

namespace qiao::capture::postgres::internal {

/// Takes the messages of one COPY TO STDOUT apart: each is one row, but for binary's header in
/// front and its trailer at the end, which are cut off.
class CopyRows {
public:
    explicit CopyRows(drivers::LoadFormat format) : format_(format) {}

    /// The row in a message, if there is one. Errors: capture.protocol.
    Result<std::optional<ByteView>> row(ByteView message);

private:
    Result<ByteView> without_header(ByteView message);

    drivers::LoadFormat format_;
    bool header_seen_ = false;
};

}  // namespace qiao::capture::postgres::internal
