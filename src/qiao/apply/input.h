#pragma once

#include "qiao/common/id.h"
#include "qiao/drivers/target_session.h"
#include "qiao/model/change.h"
#include "qiao/model/table_notice.h"

#include <memory>
#include <variant>
#include <vector>

namespace qiao::apply {

/// Where a stream stands when everything handed over so far is committed.
struct StreamMark {
    StreamPoint point;  ///< the last packet of which everything has been handed over
    Digest digest;      ///< of that packet
};

/// A source transaction, or a fragment of one, with the memory that its changes point into.
/// Fragments of a transaction come in order and without other transactions between. Number 0 of
/// the same or another transaction voids the one that is open: its sender began again. Rules 4
struct Fragment {
    model::TransactionHead head;
    uint32_t number = 0;
    bool last = true;
    std::vector<model::Change> changes;
    std::shared_ptr<const void> keep;  ///< what the views of `changes` point into
    size_t bytes = 0;                  ///< of memory that it holds
    StreamMark mark;                   ///< once the transaction is applied; read from the last one
};

/// Comes before the first change that names it.
struct SchemaDefinition {
    model::TableSchema schema;
};

/// The stream moved without rows: a heartbeat, or packets cut down to their position.
struct Progress {
    StreamMark mark;
    /// Every transaction whose commit lies at or before has been handed over; empty: says nothing.
    model::SourcePosition position;
};

/// Takes effect at this place of the stream: transactions before it saw the old state.
struct TableStateChange {
    drivers::TableState state;
};

/// A new claim of unbroken history: positions before and after it are not ordered. Source: rules 1
struct EpochOpened {
    StreamMark mark;
    model::SourcePosition start;  ///< in the new history; transactions after it follow
    bool gap_possible = true;     ///< then every live table becomes unproven
    /// `start` was chosen anew: earlier positions, those of loads too, are of a history that may be
    /// no more, and say nothing of what follows.
    bool begins_elsewhere = false;
};

/// A TableNotice takes effect at its place, too: a live table becomes unproven, one whose changes
/// do not come any more needs a resync, and one that was found equal is live again.
using Input = std::variant<
    Fragment,
    SchemaDefinition,
    Progress,
    TableStateChange,
    model::TableNotice,
    EpochOpened>;

}  // namespace qiao::apply
