#pragma once

#include "qiao/apply/input.h"

#include <vector>

namespace qiao::apply {

/// A whole source transaction as it waits to be applied.
struct Transaction {
    model::TransactionHead head;
    std::vector<Fragment> parts;
    drivers::CheckpointRow after;  ///< what the checkpoint says when it is applied
    size_t rows = 0;
    size_t bytes = 0;
};

/// What goes into one target transaction. Source transactions are never split.
struct Unit {
    std::vector<Transaction> transactions;
    drivers::CheckpointRow after;
    size_t rows = 0;
    size_t bytes = 0;
    bool moved = false;                        ///< there is something to commit beside rows
    std::vector<drivers::TableState> leaving;  ///< found to leave step while it was written

    bool empty() const { return transactions.empty() && !moved; }
};

}  // namespace qiao::apply
