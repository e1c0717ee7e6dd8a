#pragma once

#include "qiao/common/result.h"
#include "qiao/drivers/postgres/internal/target_relation.h"
#include "qiao/model/change.h"
#include "qiao/model/table.h"

#include <string>
#include <vector>

namespace qiao::drivers::postgres::internal {

/// A column that both ends have, by name.
struct BoundColumn {
    size_t source = 0;       ///< its index in the source's rows
    size_t target = 0;       ///< its index in the target's table
    std::string name;        ///< quoted
    std::string display;     ///< as it is
    std::string type;        ///< base type, quoted
    uint32_t oid = 0;        ///< of the base type
    uint32_t array_oid = 0;  ///< of arrays over it; 0: there is none
    bool array = false;
    bool same_type = false;       ///< the source's binary form is the target's
    bool text_is_binary = false;  ///< at the target: either form is the same bytes
    bool source_text_is_binary = false;
    bool key = false;              ///< of the source's identity
    bool identity_always = false;  ///< an UPDATE may not set it
};

/// How rows of one source schema become rows of one target table.
struct WritePlan {
    const TargetRelation* relation = nullptr;
    std::vector<BoundColumn> columns;
    std::vector<size_t> key;          ///< indexes into `columns`; empty: rows are met as a whole
    std::vector<std::string> equals;  ///< beside `key`
    bool overriding = false;          ///< writes a GENERATED ALWAYS identity
    bool tells_places = false;        ///< its statements return a PlacedRow for each row written

    bool whole_row() const { return key.empty(); }
};

/// Matches columns by name; generated ones are left out. Updates and deletes need a key that the
/// target knows as one, or the whole old row. Errors: apply.columns with the ALTER TABLE;
/// apply.no_key.
Result<WritePlan> make_plan(
    const model::TableSchema& schema, const TargetRelation& relation, model::Op op
);

/// The form in which a value goes to the target.
enum class Form : uint8_t { Null, Text, Binary };

/// Errors: drivers.value, naming the column, for a binary value of another type.
Result<Form> form_of(const BoundColumn& column, const model::Value& value);

}  // namespace qiao::drivers::postgres::internal
