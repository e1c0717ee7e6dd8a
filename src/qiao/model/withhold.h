#pragma once

#include "qiao/model/table.h"
#include "qiao/model/tuple.h"

#include <optional>

namespace qiao::model {

/// The limit where nobody says another: it and some memory beside it must fit into a process.
constexpr size_t kValueBytesMost = size_t{64} << 20U;
/// The highest limit: old and new value and the rest of the row fit into one change (512 MiB).
constexpr size_t kValueLimitMost = size_t{240} << 20U;

/// The row without its values above `most` bytes, each withheld with its size: so that a row that
/// cannot go over is laid aside at the target under its key, and everything else goes on. A bytea
/// that is carried as text counts as what it means, not as its digits. None: every value is within
/// the limit. Source: rules 4
std::optional<Bytes> withhold(const TableSchema& schema, const Tuple& row, size_t most);

}  // namespace qiao::model
