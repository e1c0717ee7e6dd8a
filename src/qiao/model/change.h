#pragma once

#include "qiao/common/time.h"
#include "qiao/model/source_position.h"
#include "qiao/model/table.h"
#include "qiao/model/tuple.h"

#include <cstdint>
#include <string>
#include <vector>

namespace qiao::model {

enum class Op : uint8_t { Insert = 1, Update = 2, Delete = 3, Truncate = 4 };

/// What the old image of an update or delete holds. Source: rules 7
enum class OldImage : uint8_t {
    Absent = 0,  ///< an update that left the key alone: the new image has the key
    Key = 1,     ///< only the key columns are meaningful, the others are null
    Full = 2,    ///< the whole row
};

/// One row's change as views into a packet body or a source's message.
struct Change {
    Op op = Op::Insert;
    SchemaId schema;
    uint32_t sub_xid = 0;  ///< sub-transaction, to drop on its abort; 0: the transaction itself
    OldImage old_image = OldImage::Absent;
    Tuple old_row;
    Tuple new_row;
    /// Truncate only: the other tables of the same statement, and its options.
    std::vector<SchemaId> more_tables;
    bool restart_identity = false;
    /// Of sources without a log: an insert replaces a row of the same key, an update that meets
    /// none inserts, a delete may meet none.
    bool tolerant = false;
};

/// The frame around the changes of one source transaction.
struct TransactionHead {
    uint64_t xid = 0;       ///< widened; 0 where the source has none
    SourcePosition commit;  ///< where its commit record starts: the order of commits
    SourcePosition end;     ///< where capture goes on after it
    WallTime commit_time;   ///< the source's clock
    /// Who had it before this source, oldest first, separated by commas; empty: it began here.
    /// Source: rules 16
    std::string origin{};

    /// Not of the source's own: rows that a comparison found different, as the source has them.
    bool is_repair() const { return (xid & kRepairXid) != 0; }

    static constexpr uint64_t kRepairXid = uint64_t{1} << 63U;
};

/// Longer paths are cut: nobody sends a change through so many.
constexpr size_t kOriginBytesMost = 4096;

}  // namespace qiao::model
