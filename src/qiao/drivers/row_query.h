#pragma once

#include "qiao/common/async/stop.h"
#include "qiao/common/async/task.h"
#include "qiao/common/result.h"
#include "qiao/common/time.h"
#include "qiao/drivers/structure.h"
#include "qiao/drivers/target_session.h"
#include "qiao/model/table.h"
#include "qiao/model/tuple.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qiao::drivers {

/// A table or view whose rows carry the time of their last change, and a key, as its owner has
/// declared them. Spec: H-28, H-29, H-30
struct TimedTable {
    model::TableName table;
    std::string stamp;                 ///< the column with the time
    std::vector<std::string> keys;     ///< unique together; empty: the primary key
    std::vector<std::string> columns;  ///< to read, with stamp and keys; empty: all
};

/// Rows between two times, in pages by (stamp, keys). Stamps are texts whose byte order is the
/// order of time: `2026-01-31 08:05:09.123456`, or what a text column holds.
struct RowWindow {
    std::string from;  ///< inclusive; empty: from the first row
    std::string to;    ///< inclusive

    /// The last row of the page before, as it was read: rows strictly after it.
    struct Place {
        std::string stamp;
        std::vector<std::string> keys;
    };

    std::optional<Place> after;
    size_t limit = 1000;
};

/// The source's clock, in its zone as the stamps are, and as a moment.
struct SourceNow {
    std::string stamp;
    WallTime wall;
    /// When the oldest transaction that is open now began, in the form of stamps; empty: none is.
    /// What it has written takes stamps from then on, and is seen only after its end.
    std::string oldest_open = {};
    /// Transactions of others may be open that this user, or this server, is not told of.
    bool blind = false;
    bool whole_days = false;  ///< the stamps have no time of day
};

/// Rows that a bulk read leaves out: those whose column has one of these values, as text without
/// trailing blanks. No column: none.
struct LeftOutRows {
    std::string column;
    std::vector<std::string> values;
};

/// Whole rows of a bulk read, in its format.
struct BulkRows {
    Bytes rows;
    uint64_t count = 0;  ///< those that are withheld too
    bool last = false;
    Bytes withheld{};  ///< see capture::LoadChunk
};

/// What probing the data shows; for findings. Counts are of the whole table. Spec: H-29, H-30
struct TimedFacts {
    bool stamp_is_time = false;  ///< a date or time type, or text of the declared form
    bool stamp_indexed = false;
    bool is_view = false;
    bool keys_unique_by_index = false;
    uint64_t stamps_null = 0;
    uint64_t stamps_malformed = 0;  ///< text that is not `yyyy-MM-dd hh:mm:ss…`
    uint64_t stamps_future = 0;
    uint64_t keys_null = 0;
    uint64_t keys_repeated = 0;  ///< keys that more than one row has
    uint64_t rows = 0;
};

/// Questions to a database that has rows and no log: tables and views by time. One operation at a
/// time. Errors: drivers.no_table, drivers.privilege, drivers.lost and other drivers.*
class RowQuery {
public:
    virtual ~RowQuery() = default;

    /// The tables and views that names like `public.person` mean; a star takes tables only.
    /// Errors: drivers.no_table for a name that is not there.
    virtual Task<Result<std::vector<model::TableName>>> find(std::vector<std::string> patterns) = 0;

    /// Columns in reading order, with the declared key as identity.
    virtual Task<Result<model::TableSchema>> describe(TimedTable table) = 0;
    virtual Task<Result<SourceNow>> now(TimedTable table) = 0;

    /// Calls `visit` with each row as text values in the order of (stamp, keys); gives their count.
    /// Rows with a null stamp are never met. A short page is the last.
    using Visit = std::function<void(std::string_view stamp, const model::Tuple& row)>;
    virtual Task<Result<size_t>> read(
        TimedTable table, RowWindow window, const Visit& visit, StopSignal& stop
    ) = 0;

    /// What the catalogue alone shows: the counts are not filled.
    virtual Task<Result<TimedFacts>> glance(TimedTable table) = 0;
    /// Reads the whole table; may take long.
    virtual Task<Result<TimedFacts>> probe(TimedTable table) = 0;

    /// A plain table of the name `target` for the rows: columns and the declared key, no other key,
    /// because rows come by their own times and not by their transactions.
    virtual Task<Result<Structure>> structure(TimedTable table, model::TableName target) = 0;

    virtual LoadFormat bulk_format() const = 0;
    /// Begins to read all rows with stamps up to `to`, as they are at one moment, in no order.
    /// Until the last rows, nothing else may be asked.
    virtual Task<Status> begin_bulk(TimedTable table, std::string to, LeftOutRows left_out) = 0;
    /// About `bytes` of rows; those with a value over `value_bytes_max` are withheld.
    virtual Task<Result<BulkRows>> next_bulk(
        size_t bytes, size_t value_bytes_max, StopSignal& stop
    ) = 0;
};

/// Opens sessions of one such database.
class RowDatabase {
public:
    virtual ~RowDatabase() = default;
    virtual Task<Result<std::unique_ptr<RowQuery>>> connect() = 0;
};

}  // namespace qiao::drivers
