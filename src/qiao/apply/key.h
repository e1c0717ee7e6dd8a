#pragma once

#include "qiao/drivers/target_table.h"
#include "qiao/model/change.h"

#include <string>
#include <vector>

namespace qiao::apply {

/// Whether two values of the column are the same key if and only if their bytes are, at both ends:
/// not so for numbers like 1.0 and 1.00, -0.0, padded or case-blind text, time spans, or where the
/// target's type or modifier could make two keys one. Only then changes may be folded. Rules 19
bool key_bytes_are_identity(const model::Column& source, const drivers::TargetColumn& target);

/// The bytes of some columns of a row, carried as they are, as one name of a row.
struct KeyBytes {
    std::string bytes;
    bool complete = true;  ///< no column is null or was left out
    bool binary = false;   ///< some value is binary: the same key may also come as text
    bool text = false;
    bool operator==(const KeyBytes&) const = default;
};

/// `columns` are places in the row, which has that many.
KeyBytes key_of(const model::Tuple& row, const std::vector<size_t>& columns);

/// The image that says which row an update or delete means; of an insert its new row.
const model::Tuple& identifying_row(const model::Change& change);

/// Whether an update or insert with an old image moves the row to another key. Columns that were
/// left out keep their value.
bool changes_key(const model::Change& change, const std::vector<size_t>& columns);

/// `id=5, name='x'`: names a row for people and in the error table. Numbers and texts are the same
/// whether carried as text or binary.
std::string key_text(
    const model::TableSchema& schema, const std::vector<size_t>& columns, const model::Tuple& row
);

}  // namespace qiao::apply
