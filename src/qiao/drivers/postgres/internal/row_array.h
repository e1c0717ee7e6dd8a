#pragma once

#include "qiao/drivers/postgres/internal/write_plan.h"
#include "qiao/model/tuple.h"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace qiao::drivers::postgres::internal {

/// Many rows as one parameter: an array of the table's own row type in binary form, made of the
/// bytes of the rows' images without taking them apart into parameters first. Only of values whose
/// bytes the target takes as they are.
class RowArray {
public:
    /// Of the columns that `pattern` has, the same ones in every row; an empty one has all.
    RowArray(const WritePlan& plan, const model::Tuple& pattern);

    /// Whether the server can read rows of this kind. Not when a column that is left out has a
    /// domain's type, which may refuse the null in its place.
    bool possible() const { return possible_; }

    /// Indexes into the plan's columns of those that the rows bring.
    const std::vector<size_t>& brought() const { return brought_; }

    /// The same for rows that bring the same columns of the table.
    std::string pattern() const;

    /// False: this row has another form, and was left out.
    bool append(const model::Tuple& row);

    size_t rows() const { return rows_; }

    size_t size() const { return used_; }

    /// In binary form; valid until the next append() or clear().
    ByteView finish();
    void clear();

private:
    struct Column {
        uint32_t type_oid = 0;
        size_t source = kNone;  ///< its place in the source's rows
        bool binary = false;    ///< its binary form is the target's
        bool text = false;      ///< and its text is
    };

    static constexpr size_t kNone = SIZE_MAX;

    bool take_apart(const model::Tuple& row);

    uint32_t row_type_oid_;
    bool possible_ = true;
    std::vector<Column> columns_;  ///< of the table
    std::vector<size_t> brought_;
    std::vector<size_t> left_out_;      ///< places in the source's rows
    std::vector<model::Value> values_;  ///< of the row at hand, up to the last that is needed
    Bytes bytes_;
    size_t used_ = 0;
    size_t rows_ = 0;
};

}  // namespace qiao::drivers::postgres::internal
