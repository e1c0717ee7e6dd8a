#pragma once

#include "qiao/model/table.h"

#include <map>
#include <string>
#include <vector>

namespace qiao::model {

/// What of a table goes over. Spec: R-12. Source: rules 25
struct TableSelection {
    std::vector<std::string> columns;  ///< empty: all; else the identity's are among them
    std::string where;                 ///< a condition in the source's SQL; empty: every row
    bool operator==(const TableSelection&) const = default;
};

/// Of tables that do not go over whole, under the source's names.
using Selection = std::map<TableName, TableSelection>;

}  // namespace qiao::model
