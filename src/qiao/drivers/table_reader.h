#pragma once

#include "qiao/common/async/stop.h"
#include "qiao/common/async/task.h"
#include "qiao/common/result.h"
#include "qiao/drivers/table_part.h"
#include "qiao/model/source_position.h"
#include "qiao/model/table.h"
#include "qiao/model/tuple.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace qiao::drivers {

/// A column read for comparison. Both sides must choose the same form, so that equal bytes mean
/// equal values and different values never have equal bytes (1.0 and 1.00, -0.0 and 0.0, the cases
/// of a citext and NULL and '' all differ).
struct CanonicalColumn {
    std::string name;
    enum class Form : uint8_t { Text, Binary } form = Form::Text;
};

/// Reads rows of one database for verification: canonical values under fixed session settings, in
/// one snapshot. One operation at a time. Spec: R-35
class TableReader {
public:
    virtual ~TableReader() = default;

    /// Columns, key and the binary-safe columns of a table, by this side's catalogue.
    struct Shape {
        model::TableSchema schema;
        std::vector<std::string> binary_safe;
        /// A column that scan() and read_keys() give as text beside those of the schema, and that
        /// takes a new value whenever a row is written, with whatever content (PostgreSQL: `xmin`).
        /// Empty: there is none. A value that came back is told from one that never went by it.
        std::string version_column;
    };

    virtual Task<Result<Shape>> describe(model::TableName table) = 0;

    /// One consistent view for what follows, until end_snapshot(). Kept under a second where a
    /// table allows; shown when longer. Gives the position that every row seen was committed before
    /// (a bound from above), if the source has positions.
    virtual Task<Result<model::SourcePosition>> begin_snapshot() = 0;
    virtual Task<Status> end_snapshot() = 0;

    /// Turns what is asked for into a range that means the same in every database: its ends in the
    /// column's own text form, a present time taken once.
    /// Errors: drivers.no_table for a column that is not there, drivers.bound for an end that is no
    /// value of the column's type, or a type without an order or a time. Spec: R-36
    virtual Task<Result<RowRange>> settle_range(model::TableName table, RangeWanted wanted) = 0;

    /// Calls `visit` with each row of the part in no order; the database leaves the others out.
    /// Columns in the order given. Errors: as of settle_range().
    using Visit = std::function<void(const model::Tuple&)>;
    virtual Task<Status> scan(
        model::TableName table,
        std::vector<CanonicalColumn> columns,
        TablePart part,
        const Visit& visit,
        StopSignal& stop
    ) = 0;

    /// The rows of these keys. `keys`: tuples of the key columns, in canonical form.
    virtual Task<Status> read_keys(
        model::TableName table,
        std::vector<CanonicalColumn> columns,
        std::vector<CanonicalColumn> key_columns,
        std::vector<Bytes> keys,
        const Visit& visit
    ) = 0;

    /// The load brake of scan(): awaited between batches of rows with their number, where the
    /// reader can wait there; others ignore it. Its error ends the scan.
    using Pace = std::function<Task<Status>(uint64_t rows)>;

    virtual void set_pace(Pace /*pace*/) {}

    /// The rows of the part.
    virtual Task<Result<uint64_t>> count(model::TableName table, TablePart part) = 0;

    /// Where the database's own log stands now; every commit seen so far lies before it.
    virtual Task<Result<model::SourcePosition>> current_position() = 0;
};

}  // namespace qiao::drivers
