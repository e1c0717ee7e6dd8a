#include "model_server.h"

#include <algorithm>

// Unique and foreign keys of the source: what would break one is not done.
namespace qiao::sim {
namespace {

constexpr size_t kPerson = 0, kHouse = 1;

/// The lock of a value of a unique column, beside those of rows.
Row value_lock(const Cell& value) { return {std::nullopt, value}; }

}  // namespace

void ModelServer::constrain(bool unique, bool references) {
    if (unique) {
        tables_[kPerson].unique = 1;
    }
    if (references) {
        tables_[kHouse].refers = 2;
        tables_[kHouse].referred = kPerson;
        tables_[kPerson].child = kHouse;
    }
    for (size_t i = 0; i < tables_.size(); ++i) {
        shapes_[i] = std::make_shared<ServerTable>(tables_[i]);
        past_shapes_[i] = {{0, shapes_[i]}};
    }
}

bool ModelServer::has_cell(
    const Transaction& transaction, size_t table, size_t column, const Cell& cell
) const {
    const auto& own = transaction.overlay[table];
    const bool changed = std::ranges::any_of(own.rows, [&](const auto& row) {
        return row.second && (*row.second)[column] == cell;
    });
    return changed ||
           (!own.truncated && std::ranges::any_of(committed_[table], [&](const auto& row) {
               return row.second[column] == cell && !own.rows.contains(row.first);
           }));
}

/// A value that goes is nobody else's before this transaction has ended.
bool ModelServer::is_unique(
    const Transaction& transaction, size_t table, const Row* gone, const Row* come
) {
    const auto column = tables_[table].unique;
    if (!column) {
        return true;
    }
    const auto was = gone == nullptr ? Cell() : (*gone)[*column];
    const auto is = come == nullptr ? Cell() : (*come)[*column];
    if (was == is) {
        return true;
    }
    const auto locked = [&](const Cell& value) {
        return !value || lock(transaction, table, value_lock(value));
    };
    return locked(was) && locked(is) && (!is || !has_cell(transaction, table, *column, is));
}

/// Whoever refers to a row holds its lock until it has ended.
bool ModelServer::allowed(
    const Transaction& transaction, size_t table, const Row* gone, const Row* come
) {
    const auto& shape = tables_[table];
    if (shape.refers && come != nullptr && (*come)[*shape.refers]) {
        const Row parent{(*come)[*shape.refers]};
        if (!see(transaction, *shape.referred, parent) ||
            !lock(transaction, *shape.referred, parent)) {
            return false;
        }
    }
    const bool leaves =
        gone != nullptr && (come == nullptr || shape.key_of(*gone) != shape.key_of(*come));
    if (shape.child && leaves) {
        const auto column = *tables_[*shape.child].refers;
        if (has_cell(transaction, *shape.child, column, shape.key_of(*gone).front())) {
            return false;
        }
    }
    return is_unique(transaction, table, gone, come);
}

}  // namespace qiao::sim
