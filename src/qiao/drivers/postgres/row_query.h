#pragma once

#include "qiao/drivers/postgres/catalogue.h"
#include "qiao/drivers/postgres/connection.h"
#include "qiao/drivers/row_query.h"

#include <map>
#include <memory>
#include <string>

namespace qiao::drivers::postgres {

struct RowQueryOptions {
    /// The zone of stamps without one; empty: the database's own setting.
    std::string zone;
};

/// RowQuery over libpq: dates, timestamps with and without zone, and text of the form
/// `yyyy-MM-dd hh:mm:ss`. Values come as the server's text under the reader's settings, in UTC.
/// Spec: H-28, H-30
class PostgresRowQuery final : public RowQuery {
public:
    /// `stop` outlives it.
    static Task<Result<std::unique_ptr<RowQuery>>> open(
        Runtime runtime, DataSourceUrl url, RowQueryOptions options, StopSignal& stop
    );

    Task<Result<std::vector<model::TableName>>> find(std::vector<std::string> patterns) override;
    Task<Result<model::TableSchema>> describe(TimedTable table) override;
    Task<Result<SourceNow>> now(TimedTable table) override;
    Task<Result<size_t>> read(
        TimedTable table, RowWindow window, const Visit& visit, StopSignal& stop
    ) override;
    Task<Result<TimedFacts>> glance(TimedTable table) override;
    Task<Result<TimedFacts>> probe(TimedTable table) override;
    Task<Result<Structure>> structure(TimedTable table, model::TableName target) override;

    LoadFormat bulk_format() const override { return LoadFormat::PgCopyText; }

    Task<Status> begin_bulk(TimedTable table, std::string to, LeftOutRows left_out) override;
    Task<Result<BulkRows>> next_bulk(size_t bytes, size_t value_bytes_max, StopSignal& stop)
        override;

    PostgresRowQuery(std::unique_ptr<Connection> connection, std::string zone)
        : connection_(std::move(connection)), zone_(std::move(zone)) {}

private:
    /// A table as it was described; asked for once.
    struct Known {
        CatalogueTable table;
        model::TableSchema schema;
        std::vector<std::string> keys;  ///< declared, or the primary key's
        enum class Stamp : uint8_t { Timestamp, Zoned, Date, Text, Other } stamp = Stamp::Other;
    };

    Task<Result<const Known*>> known(TimedTable table);
    static Known::Stamp stamp_kind(std::string_view type);
    static std::string bound(const Known& known, std::string_view parameter);
    static std::string stamp_text(const Known& known, const std::string& column);
    static std::string page_sql(
        const Known& known, const TimedTable& table, const RowWindow& window
    );
    static std::string comparable(const Known& known, const std::string& column);
    Task<Status> probe_rows(const Known& known, TimedTable table, TimedFacts& facts);

    std::unique_ptr<Connection> connection_;
    std::string zone_;
    std::map<model::TableName, Known> tables_;
    model::TableSchema bulk_schema_;  ///< of the bulk read under way
};

/// Sessions of one database. `stop` outlives it.
std::unique_ptr<RowDatabase> make_row_database(
    Runtime runtime, DataSourceUrl url, RowQueryOptions options, StopSignal& stop
);

}  // namespace qiao::drivers::postgres
