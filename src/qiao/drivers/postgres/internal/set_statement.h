#pragma once

#include "qiao/drivers/postgres/connection.h"
#include "qiao/drivers/postgres/internal/row_statement.h"

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace qiao::drivers::postgres::internal {

/// One statement for many rows of one pattern, each column as one array.
struct SetStatement {
    std::string sql;
    std::vector<Parameter> parameters;
};

/// None when these rows have no such form: a column with both text and binary values, or binary
/// values of a type without arrays over it.
std::optional<SetStatement> make_set_statement(
    const WritePlan& plan, std::span<const RowStatement> rows
);

/// Digests of the rows that the values of Role::Match make, as (number of the row from 1, digest).
/// None as above.
std::optional<SetStatement> make_digest_set(std::span<const RowStatement> rows);

/// How many rows from the front one statement may take: the server has its arrays in memory, more
/// than once.
size_t rows_of_one_set(std::span<const RowStatement> rows);

/// A one-dimensional array in binary form. An empty optional is null.
Bytes binary_array(uint32_t element_oid, const std::vector<std::optional<ByteView>>& elements);

/// Whether COPY takes these rows in text form.
bool copies_as_text(std::span<const RowStatement> rows);
/// Appends a row as it wants it.
void append_text_row(Bytes& out, const RowStatement& row);
std::string copy_text_sql(const WritePlan& plan, const RowStatement& pattern);

/// The signature and empty head that a binary COPY starts with, and its end.
ByteView binary_copy_head();
ByteView binary_copy_tail();

}  // namespace qiao::drivers::postgres::internal
