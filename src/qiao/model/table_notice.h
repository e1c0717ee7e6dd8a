#pragma once

#include "qiao/model/source_position.h"
#include "qiao/model/table.h"

#include <cstdint>

namespace qiao::model {

/// Something about a captured table that its rows do not say. It has a place in the stream and
/// takes effect there. Numbers never change. Source: rules 1, 6, 11, 23
struct TableNotice {
    enum class Kind : uint8_t {
        /// Columns, identity or partitions are not what they were at the last heartbeat: unproven
        /// until compared.
        CatalogueChanged = 1,
        /// It lost its identity and was taken out of the publication before the application's
        /// UPDATE would fail: its changes no longer come, it needs a resync.
        Withdrawn = 2,
        /// A comparison has found both ends equal.
        Proven = 3,
    };
    Kind kind = Kind::CatalogueChanged;
    TableName table;
    SourcePosition position{};  ///< as of which it is so: the heartbeat's, the comparison's
    bool operator==(const TableNotice&) const = default;
};

}  // namespace qiao::model
