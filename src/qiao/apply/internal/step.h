#pragma once

#include "qiao/apply/internal/catalogue.h"

#include <deque>

namespace qiao::apply {

/// One call to the target: rows of one kind, or a truncation.
struct Step {
    enum class Kind : uint8_t {
        Rows,      ///< one write of `op`
        Upsert,    ///< the changes are updates by key; those that meet no row become inserts
        Truncate,  ///< of `truncated`, in one statement
    } kind = Kind::Rows;

    const BoundTable* table = nullptr;
    model::Op op = model::Op::Insert;
    bool as_set = false;
    bool may_miss = false;
    std::vector<const model::Change*> changes;
    std::vector<const BoundTable*> truncated;
    bool restart_identity = false;
};

/// Changes that are made while planning, with the bytes of their rows. Addresses stay.
class ChangeArena {
public:
    const model::Change* make(model::Change change) {
        return &changes_.emplace_back(std::move(change));
    }

    /// A row image that lives here.
    model::Tuple keep(model::TupleBuilder builder);
    /// `newer` with its left-out columns taken from `older`.
    model::Tuple merge(const model::Tuple& newer, const model::Tuple& older);
    /// The key image of a row: other columns are null.
    model::Tuple key_image(const model::Tuple& row, const std::vector<size_t>& key);

private:
    std::deque<Bytes> rows_;
    std::deque<model::Change> changes_;
};

/// Which columns a row leaves out, as one character a column.
std::string pattern_of(const model::Tuple& row);
bool leaves_out_columns(const model::Tuple& row);

}  // namespace qiao::apply
