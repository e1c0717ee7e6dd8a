#pragma once

#include "qiao/drivers/target_table.h"
#include "qiao/model/table.h"

#include <string>
#include <vector>

namespace qiao::drivers {

/// One thing that a target lacks to follow a table whose shape has changed at the source.
struct AdoptionStep {
    enum class Kind : uint8_t {
        Rename,  ///< `column` to `to.name`
        Add,     ///< `to`
        Drop,    ///< `column`
        Type,    ///< `column` to the type of `to`
        Key,     ///< the primary key is `key`
    } kind = Kind::Add;

    std::string column;
    model::Column to;
    std::vector<std::string> key;
};

/// What the source has done to its table between two shapes and the target has not; in an order in
/// which it can be done. All under the target's names. What the target has otherwise than the
/// source had before is left as it is: somebody wanted it so. NOT NULL is not looked at: a shape
/// that was told while the source's catalogue was ahead of it does not know. Spec: R-48
std::vector<AdoptionStep> adoption_steps(
    const model::TableSchema& before, const model::TableSchema& now, const TargetTable& target
);

/// Whether every column of the shape is in the target, under its type.
bool fits(const model::TableSchema& shape, const TargetTable& target);

}  // namespace qiao::drivers
