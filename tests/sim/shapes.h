#pragma once

#include "world.h"

#include <set>
#include <utility>
#include <vector>

// Tables whose columns are not the same at both ends.
namespace qiao::sim {

/// Columns by table and the source's number.
using ColumnSet = std::set<std::pair<size_t, uint32_t>>;

/// The numbers of the columns that the target's table has.
std::vector<uint32_t> columns_at_target(const World& world, size_t table);

/// These columns of the row, in their order. `numbers`: of all that it has.
Row only_columns(
    const Row& row, const std::vector<uint32_t>& numbers, const std::vector<uint32_t>& wanted
);

std::vector<uint32_t> numbers_of(const World& world, size_t table, const ServerTable& shape);

/// Whether the target's table has the columns that the source's has now.
bool has_shape(const World& world, size_t table);

/// The target's owner makes its table what the source's is now. False: somebody has it locked.
bool follow_shape(World& world, size_t table);

}  // namespace qiao::sim
