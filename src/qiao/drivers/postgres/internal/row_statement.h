#pragma once

#include "qiao/common/result.h"
#include "qiao/drivers/postgres/internal/row_map.h"
#include "qiao/drivers/postgres/internal/write_plan.h"
#include "qiao/model/change.h"

#include <array>
#include <string>
#include <vector>

namespace qiao::drivers::postgres::internal {

/// What a parameter of a statement is there for.
enum class Role : uint8_t {
    Write,  ///< a new value
    Check,  ///< a value that must be there already
    Key,    ///< names the row
    Match,  ///< a column of the whole old row
    Leaf,   ///< the tableoid of the place where the old row is expected
    Spot,   ///< its ctid
};

/// One value of one change, in its place in the statement.
struct RowParameter {
    const BoundColumn* column = nullptr;
    std::string_view equals;  ///< for a key
    Role role = Role::Write;
    Form form = Form::Null;
    ByteView bytes;
};

/// One change as a statement: what it says, by its parameters' columns and roles, and its values.
struct RowStatement {
    model::Op op = model::Op::Insert;
    bool anew = false;         ///< an update that deletes the old row and inserts the new one
    bool only_digest = false;  ///< reads the digest of the values of Role::Match, writes nothing
    std::vector<RowParameter> parameters;
};

/// Whether they share the text of the statement. Of one plan.
bool same_pattern(const RowStatement& one, const RowStatement& other);
/// What it says beside its operation, in short: the same text for the same pattern, of one table.
std::string pattern_of(const RowStatement& statement);

/// A place as parameters in binary form.
using PlaceBytes = std::array<std::byte, 10>;

/// Errors: drivers.value, apply.incomplete_row, apply.no_key, drivers.statement for a change of a
/// GENERATED ALWAYS column.
/// @param checks_old_row  see TableWrite::checks_old_rows
Result<RowStatement> make_row_statement(
    const WritePlan& plan, const model::Change& change, model::Op op, bool checks_old_row = false
);

/// The text with $1 … in the order of the parameters. An update that writes nothing only looks for
/// its row and locks it.
std::string row_sql(const WritePlan& plan, const RowStatement& statement);

/// The digest of a row of which these are the columns' values, as SQL. It is the hash of their text
/// forms at the target, which is what `where` compares too. Spec: R-24
std::string digest_sql(const std::vector<std::string>& values);
/// Of a row of the table; `prefix` comes before the columns' names.
std::string digest_sql(const WritePlan& plan, std::string_view prefix);

/// Its identity alone, as a statement for its digest.
RowStatement digest_statement(const RowStatement& row);
/// The same change, whose old row is looked for at this place only. `bytes` must outlive it.
RowStatement placed_statement(
    const WritePlan& plan, const RowStatement& row, const Place& place, PlaceBytes& bytes
);

/// `"a"::text IS NOT DISTINCT FROM $1::text AND …` for the parameters that name the row.
std::string row_condition(const RowStatement& statement);

/// `"a", "b"` of the values to write.
std::string column_list(const RowStatement& statement);

}  // namespace qiao::drivers::postgres::internal
