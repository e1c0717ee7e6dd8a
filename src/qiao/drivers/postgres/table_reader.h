#pragma once

#include "qiao/common/async/task.h"
#include "qiao/common/result.h"
#include "qiao/drivers/postgres/catalogue.h"
#include "qiao/drivers/postgres/connection.h"
#include "qiao/drivers/table_reader.h"
#include "qiao/drivers/url.h"
#include "qiao/model/selection.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace qiao::drivers::postgres {

/// Reads tables by COPY in binary form; columns wanted as text are cast by the server. Rows that a
/// policy would hide are an error, not left out. Spec: R-35
///
/// A position's system id comes from pg_control_system() and its timeline from the name of the
/// current WAL file; where those may not be called, both come from IDENTIFY_SYSTEM on a replication
/// connection, asked for once.
class PostgresTableReader final : public TableReader {
public:
    /// `url` is copied; `runtime` and `stop` outlive the reader. Of tables in `selection` only its
    /// columns and rows are there.
    static Task<Result<std::unique_ptr<TableReader>>> open(
        Runtime runtime, DataSourceUrl url, StopSignal& stop, model::Selection selection = {}
    );

    Task<Result<Shape>> describe(model::TableName table) override;
    Task<Result<model::SourcePosition>> begin_snapshot() override;
    Task<Status> end_snapshot() override;
    Task<Result<RowRange>> settle_range(model::TableName table, RangeWanted wanted) override;
    Task<Status> scan(
        model::TableName table,
        std::vector<CanonicalColumn> columns,
        TablePart part,
        const Visit& visit,
        StopSignal& stop
    ) override;
    Task<Status> read_keys(
        model::TableName table,
        std::vector<CanonicalColumn> columns,
        std::vector<CanonicalColumn> key_columns,
        std::vector<Bytes> keys,
        const Visit& visit
    ) override;
    Task<Result<uint64_t>> count(model::TableName table, TablePart part) override;
    Task<Result<model::SourcePosition>> current_position() override;

private:
    PostgresTableReader(
        std::unique_ptr<Connection> connection,
        DataSourceUrl url,
        std::string zone,
        StopSignal& stop,
        model::Selection selection
    )
        : connection_(std::move(connection)),
          url_(std::move(url)),
          zone_(std::move(zone)),
          stop_(stop),
          selection_(std::move(selection)) {}

    Task<Result<const CatalogueTable*>> table(model::TableName name);
    /// What rows of the table must fulfil; `true`: nothing.
    std::string condition_of(const CatalogueTable& table) const;
    void cut_columns(Shape& shape) const;
    Task<Result<model::SourcePosition>> position_by_identity();
    Task<Status> drain(
        const std::vector<CanonicalColumn>& columns,
        const Visit& visit,
        StopSignal& stop,
        bool& ended
    );

    std::unique_ptr<Connection> connection_;
    DataSourceUrl url_;
    std::string zone_;  ///< of the database's stamps that name none
    StopSignal& stop_;
    std::map<model::TableName, CatalogueTable> tables_;
    model::Selection selection_;

    /// Of IDENTIFY_SYSTEM, when the functions are denied.
    struct Identity {
        uint64_t system_id = 0;
        uint32_t timeline = 0;
    };

    std::optional<Identity> identity_;
};

}  // namespace qiao::drivers::postgres
