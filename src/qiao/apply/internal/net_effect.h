#pragma once

#include "qiao/apply/internal/step.h"

#include <span>

namespace qiao::apply {

/// What has become of each row in the end, as tolerant changes: rows that are gone first, then
/// whole rows in the place of whatever is there. Empty where bytes do not tell the rows of the
/// table apart, and where a row that moved is not known whole. The changes live in `arena`, and
/// their rows there or in `changes`.
std::vector<const model::Change*> net_effect(
    const BoundTable& table, std::span<const model::Change* const> changes, ChangeArena& arena
);

}  // namespace qiao::apply
