#include "qiao/agent/database.h"

#include "qiao/agent/timed_reader.h"
#include "qiao/capture/postgres/postgres_data_source.h"
#include "qiao/capture/timestamp_data_source.h"
#include "qiao/drivers/postgres/row_query.h"
#include "qiao/drivers/postgres/sequences.h"
#include "qiao/drivers/postgres/structure/create.h"
#include "qiao/drivers/postgres/table_reader.h"
#include "qiao/drivers/postgres/target_session.h"

#include <fmt/format.h>

namespace qiao::agent {

namespace pg = drivers::postgres;

namespace {

Status check_scheme(const drivers::DataSourceUrl& url, std::string_view role) {
    if (url.scheme != "postgresql") {
        return Error(
            ErrorCode::Config,
            fmt::format("`{}://` cannot be a {} yet; postgresql:// can", url.scheme, role)
        );
    }
    return {};
}

class PostgresStructureMaker final : public engine::StructureMaker {
public:
    PostgresStructureMaker(pg::Runtime runtime, drivers::DataSourceUrl url, StopSignal& stop)
        : runtime_(runtime), url_(std::move(url)), stop_(stop) {}

    Task<Result<drivers::CreateReport>> create(
        drivers::Structure structure, drivers::StructurePhase phase
    ) override {
        QIAO_CO_TRY(const auto connection, co_await connect());
        co_return co_await pg::create_structure(*connection, structure, phase);
    }

    Task<Result<drivers::CreateReport>> advance_sequences(std::vector<drivers::SequenceValue> values
    ) override {
        QIAO_CO_TRY(const auto connection, co_await connect());
        co_return co_await pg::advance_sequences(*connection, values);
    }

private:
    Task<Result<std::unique_ptr<pg::Connection>>> connect() {
        pg::ConnectOptions options;
        options.application_name = "qiao create";
        co_return co_await pg::Connection::open(runtime_, url_, std::move(options), stop_);
    }

    pg::Runtime runtime_;
    drivers::DataSourceUrl url_;
    StopSignal& stop_;
};

}  // namespace

Result<std::unique_ptr<capture::DataSource>> make_source(
    pg::Runtime runtime,
    const drivers::DataSourceUrl& url,
    SourceChoice choice,
    Rng& rng,
    StopSignal& stop
) {
    QIAO_CHECK(check_scheme(url, "source"));
    if (choice.timed) {
        choice.timed->options.value_bytes_max = choice.value_bytes_max;
        auto rows = pg::make_row_database(runtime, url, {choice.timed->zone}, stop);
        return std::make_unique<capture::TimestampDataSource>(
            std::move(choice.timed->options),
            std::move(rows),
            url.display(),
            runtime.executor,
            runtime.clock
        );
    }
    capture::postgres::PostgresDataSourceOptions options;
    options.heartbeat = choice.heartbeat;
    options.heartbeat_every = choice.heartbeat_every;
    options.own_origins = std::move(choice.own_origins);
    options.value_bytes_max = choice.value_bytes_max;
    options.selection = std::move(choice.selection);
    options.storage = choice.storage;
    options.folder = std::move(choice.folder);
    return std::make_unique<capture::postgres::PostgresDataSource>(
        runtime, url, std::move(options), rng, stop
    );
}

Result<Target> make_target(
    pg::Runtime runtime, const drivers::DataSourceUrl& url, StopSignal& stop, std::string source
) {
    QIAO_CHECK(check_scheme(url, "target"));
    Target target;
    pg::TargetOptions options;
    options.origin_path = std::move(source);
    target.database = std::make_unique<pg::PostgresTarget>(runtime, url, std::move(options), stop);
    target.structures = std::make_unique<PostgresStructureMaker>(runtime, url, stop);
    return target;
}

Task<Result<std::unique_ptr<drivers::TableReader>>> make_reader(
    pg::Runtime runtime, drivers::DataSourceUrl url, SourceChoice choice, StopSignal& stop
) {
    QIAO_CO_CHECK(check_scheme(url, "side of a comparison"));
    QIAO_CO_TRY(
        auto reader,
        co_await pg::PostgresTableReader::open(
            runtime, std::move(url), stop, std::move(choice.selection)
        )
    );
    if (choice.timed) {
        co_return std::make_unique<TimedReader>(std::move(reader), *std::move(choice.timed));
    }
    co_return reader;
}

Task<Status> drop_target_traces(
    pg::Runtime runtime, const drivers::DataSourceUrl& url, StreamId stream, StopSignal& stop
) {
    pg::ConnectOptions options;
    options.application_name = "qiao drop";
    QIAO_CO_TRY(
        const auto connection, co_await pg::Connection::open(runtime, url, std::move(options), stop)
    );
    std::vector<StreamId> streams{stream};
    co_return co_await pg::drop_traces(*connection, std::move(streams));
}

}  // namespace qiao::agent
