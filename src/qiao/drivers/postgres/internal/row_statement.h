#pragma once

#include "qiao/common/result.h"
#include "qiao/drivers/postgres/internal/write_plan.h"
#include "qiao/model/change.h"

#include <string>
#include <vector>

namespace qiao::drivers::postgres::internal {

/// What a parameter of a statement is there for.
enum class Role : uint8_t {
    Write,  ///< a new value
    Check,  ///< a value that an UPDATE may not set and that must be there already
    Key,    ///< names the row
    Match,  ///< a column of the whole old row
};

/// One value of one change, in its place in the statement.
struct RowParameter {
    const BoundColumn* column = nullptr;
    std::string_view equals;  ///< for a key
    Role role = Role::Write;
    Form form = Form::Null;
    ByteView bytes;
};

/// One change as a statement: what it says (by its parameters' columns and roles, `pattern`) and
/// its values. Changes of equal pattern share the text of the statement.
struct RowStatement {
    model::Op op = model::Op::Insert;
    bool anew = false;  ///< an update that deletes the old row and inserts the new one
    std::string pattern;
    std::vector<RowParameter> parameters;
};

/// Errors: drivers.value, apply.incomplete_row, apply.no_key, drivers.statement for a change of a
/// GENERATED ALWAYS column.
Result<RowStatement> make_row_statement(
    const WritePlan& plan, const model::Change& change, model::Op op
);

/// The text with $1 … in the order of the parameters. An update that writes nothing only looks for
/// its row and locks it.
std::string row_sql(const WritePlan& plan, const RowStatement& statement);

/// `"a", "b"` of the values to write.
std::string column_list(const RowStatement& statement);

}  // namespace qiao::drivers::postgres::internal
