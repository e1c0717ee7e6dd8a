#pragma once

#include "qiao/model/table.h"

#include <string>
#include <vector>

namespace qiao::drivers {

struct TargetColumn {
    std::string name;
    std::string type;  ///< as model::Column::type, by the target's catalogue
    int32_t modifier = -1;
    bool not_null = false;
    bool generated = false;        ///< stored generated column: never written
    bool identity_always = false;  ///< needs OVERRIDING SYSTEM VALUE
};

/// A table as the target's own catalogue tells it; the judge of set-based work. Source: rules 19
struct TargetTable {
    model::TableName name;
    std::vector<TargetColumn> columns;
    std::vector<std::string> primary_key;               ///< column names; empty: none
    std::vector<std::vector<std::string>> unique_keys;  ///< others, over plain columns
    bool opaque_unique = false;  ///< a unique index over expressions, or partial
    bool deferrable_unique = false;
    bool foreign_keys_out = false;
    bool foreign_keys_in = false;
    bool exclusion = false;
    bool row_triggers = false;  ///< enabled user triggers that fire in our session
    bool rules = false;
    bool row_security = false;
    bool partitioned = false;

    /// Only its primary key constrains which rows can be together, and writing it has no other
    /// effect: changes of different keys may be done in any order, as sets.
    bool plain() const {
        return !primary_key.empty() && unique_keys.empty() && !opaque_unique &&
               !deferrable_unique && !foreign_keys_out && !foreign_keys_in && !exclusion &&
               !row_triggers && !rules && !row_security;
    }
};

}  // namespace qiao::drivers
