#pragma once

#include "qiao/capture/data_source.h"
#include "qiao/capture/postgres/postgres_snapshot.h"
#include "qiao/capture/postgres/postgres_source.h"
#include "qiao/drivers/postgres/catalogue.h"
#include "qiao/model/selection.h"
#include "qiao/model/withhold.h"

#include <memory>
#include <string>
#include <vector>

namespace qiao::capture::postgres {

struct PostgresDataSourceOptions {
    std::vector<std::string> own_origins;
    bool heartbeat = true;
    Duration heartbeat_every = std::chrono::seconds(10);
    uint64_t part_bytes = 64U << 20U;
    model::Selection selection{};  ///< of tables that do not go over whole
    size_t value_bytes_max = model::kValueBytesMost;
    Storage* storage =
        nullptr;  ///< with `folder`: where the flow keeps what it knows; else nothing
    std::string folder = {};
};

/// A PostgreSQL database captured by its log. Spec
class PostgresDataSource final : public DataSource {
public:
    /// Everything outlives the object and its sources; `stop` ends their connections.
    PostgresDataSource(
        drivers::postgres::Runtime runtime,
        drivers::DataSourceUrl url,
        PostgresDataSourceOptions options,
        Rng& rng,
        StopSignal& stop
    );

    Task<Status> reach() override;
    Task<Result<Choice>> choose(std::vector<std::string> patterns) override;
    Task<Status> prepare(StreamId stream, std::vector<model::TableName> tables) override;
    std::unique_ptr<StreamingSource> streaming(StreamId stream) override;
    std::unique_ptr<SnapshotSource> snapshot(StreamId stream) override;
    Task<Result<drivers::Structure>> structure(std::vector<drivers::TablePair> tables) override;
    Task<Result<drivers::SequenceValues>> sequences(
        std::vector<model::TableName> tables, model::Mapping names
    ) override;
    Task<Status> beat(StreamId stream) override;
    Task<Result<model::SourcePosition>> flushed_position() override;
    Task<Result<std::vector<Leftover>>> leftovers(StreamId stream) override;
    Task<Result<model::SourcePosition>> renew(StreamId stream) override;
    Task<Result<std::vector<std::string>>> drop(StreamId stream) override;

    std::string identity() const override { return url_.display(); }

private:
    Task<Result<std::unique_ptr<drivers::postgres::Connection>>> connect();
    ChosenTable chosen(model::TableName table) const;

    drivers::postgres::Runtime runtime_;
    drivers::DataSourceUrl url_;
    PostgresDataSourceOptions options_;
    Rng& rng_;
    StopSignal& stop_;
    std::unique_ptr<SourceDatabase> database_;
    std::vector<ChosenTable> chosen_;
};

}  // namespace qiao::capture::postgres
