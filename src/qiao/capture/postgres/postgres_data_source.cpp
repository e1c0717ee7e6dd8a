#include "qiao/capture/postgres/postgres_data_source.h"

#include "qiao/capture/postgres/source_check.h"
#include "qiao/capture/postgres/source_setup.h"
#include "qiao/drivers/postgres/sequences.h"
#include "qiao/drivers/postgres/structure/read.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::capture::postgres {

namespace pg = drivers::postgres;

namespace {

drivers::Finding to_finding(const model::TableName& table, const Refusal& refusal) {
    return {
        drivers::Finding::Verdict::Bad,
        table.to_string(),
        refusal.reason_en,
        refusal.reason_zh,
        refusal.mend
    };
}

/// Tables that were named one by one must all be there and be capturable; a star takes what it can.
bool is_star(const std::string& pattern) { return pattern.find('*') != std::string::npos; }

}  // namespace

PostgresDataSource::PostgresDataSource(
    pg::Runtime runtime,
    drivers::DataSourceUrl url,
    PostgresDataSourceOptions options,
    Rng& rng,
    StopSignal& stop
)
    : runtime_(runtime),
      url_(std::move(url)),
      options_(std::move(options)),
      rng_(rng),
      stop_(stop),
      database_(make_source_database(runtime, url_)) {}

Task<Result<std::unique_ptr<pg::Connection>>> PostgresDataSource::connect() {
    co_return co_await connect_catalogue(runtime_, url_, stop_);
}

Task<Status> PostgresDataSource::reach() {
    QIAO_CO_TRY(const auto connection, co_await connect());
    co_return Status{};
}

ChosenTable PostgresDataSource::chosen(model::TableName table) const {
    const auto found = options_.selection.find(table);
    return found == options_.selection.end()
               ? ChosenTable{std::move(table)}
               : ChosenTable{std::move(table), found->second.columns, found->second.where};
}

Task<Result<DataSource::Choice>> PostgresDataSource::choose(std::vector<std::string> patterns) {
    std::vector<pg::TablePattern> parsed;
    for (const auto& pattern : patterns) {
        QIAO_CO_TRY(auto one, pg::TablePattern::parse(pattern));
        parsed.push_back(std::move(one));
    }
    QIAO_CO_TRY(const auto connection, co_await connect());
    QIAO_CO_TRY(const auto relations, co_await pg::read_tables(*connection, std::move(parsed)));
    std::vector<ChosenTable> chosen;
    for (const auto& relation : relations) {
        chosen.push_back(this->chosen(relation.schema.table));
    }
    for (const auto& [table, selection] : options_.selection) {
        if (std::ranges::find(chosen, table, &ChosenTable::name) == chosen.end()) {
            co_return Error(
                ErrorCode::Config,
                fmt::format(
                    "{}: columns or rows of it are chosen, but the table is not", table.to_string()
                )
            );
        }
    }
    QIAO_CO_TRY(const auto tables, co_await read_source_tables(*connection, std::move(chosen)));
    if (std::ranges::none_of(patterns, is_star)) {
        QIAO_CO_CHECK(all_capturable(tables));
    }
    Choice choice;
    for (const auto& table : tables) {
        if (table.refusal) {
            choice.findings.push_back(to_finding(table.name(), *table.refusal));
            continue;
        }
        choice.tables.push_back(table.name());
        if (table.schema.identity == model::Identity::None) {
            choice.findings.push_back(judge_identity(table));
        }
    }
    co_return choice;
}

Task<Status> PostgresDataSource::prepare(StreamId stream, std::vector<model::TableName> tables) {
    chosen_.clear();
    for (auto& table : tables) {
        chosen_.push_back(chosen(std::move(table)));
    }
    QIAO_CO_TRY(const auto connection, co_await connect());
    QIAO_CO_TRY(const auto report, co_await set_up_source(*connection, stream, chosen_));
    co_return Status{};
}

std::unique_ptr<StreamingSource> PostgresDataSource::streaming(StreamId stream) {
    PostgresSourceOptions options;
    options.stream = stream;
    options.tables = chosen_;
    options.own_origins = options_.own_origins;
    options.heartbeat = options_.heartbeat;
    options.heartbeat_every = options_.heartbeat_every;
    options.value_bytes_max = options_.value_bytes_max;
    if (options_.storage != nullptr) {
        options.kept_digests = std::make_shared<KeptDigests>(
            *options_.storage, options_.folder + "/catalogue-" + stream.to_string() + ".json"
        );
    }
    return std::make_unique<PostgresStreamingSource>(
        std::move(options), *database_, runtime_.executor, runtime_.clock, rng_, stop_
    );
}

std::unique_ptr<SnapshotSource> PostgresDataSource::snapshot(StreamId stream) {
    PostgresSnapshotOptions options;
    options.stream = stream;
    options.tables = chosen_;
    options.part_bytes = options_.part_bytes;
    options.value_bytes_max = options_.value_bytes_max;
    return std::make_unique<PostgresSnapshotSource>(runtime_, url_, std::move(options), rng_);
}

Task<Result<drivers::Structure>> PostgresDataSource::structure(
    std::vector<drivers::TablePair> tables
) {
    QIAO_CO_TRY(const auto connection, co_await connect());
    co_return co_await pg::read_structure(*connection, std::move(tables));
}

Task<Result<drivers::SequenceValues>> PostgresDataSource::sequences(
    std::vector<model::TableName> tables, model::Mapping names
) {
    QIAO_CO_TRY(const auto connection, co_await connect());
    co_return co_await pg::read_sequences(*connection, tables, names);
}

Task<Status> PostgresDataSource::beat(StreamId stream) {
    if (!options_.heartbeat) {
        co_return Status{};
    }
    QIAO_CO_TRY(const auto catalogue, co_await database_->open_catalogue(stop_));
    HeartbeatNote note;
    note.stream = stream;
    note.nonce = rng_.number();
    co_return co_await catalogue->write_note(std::move(note));
}

Task<Result<model::SourcePosition>> PostgresDataSource::flushed_position() {
    QIAO_CO_TRY(const auto session, co_await database_->open_session(stop_));
    const auto identity = session->identity();
    co_await session->close();
    QIAO_CO_TRY(const auto catalogue, co_await database_->open_catalogue(stop_));
    QIAO_CO_TRY(const auto newest, co_await catalogue->newest());
    co_return identity.at(newest);
}

Task<Result<std::vector<Leftover>>> PostgresDataSource::leftovers(StreamId stream) {
    QIAO_CO_TRY(const auto connection, co_await connect());
    std::vector<Leftover> left;
    QIAO_CO_TRY(const auto slot, co_await find_slot(*connection, slot_name(stream)));
    if (slot) {
        left.push_back({"replication slot", slot->name, slot->bytes_held});
    }
    for (const auto& name : {publication_name(stream), insert_publication_name(stream)}) {
        auto parameter = pg::Parameter::of_text(name);
        std::vector<pg::Parameter> parameters;
        parameters.push_back(std::move(parameter));
        QIAO_CO_TRY(
            const auto rows,
            co_await connection->query(
                "SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = $1", std::move(parameters)
            )
        );
        if (rows.size() != 0) {
            left.push_back({"publication", name, 0});
        }
    }
    co_return left;
}

Task<Result<model::SourcePosition>> PostgresDataSource::renew(StreamId stream) {
    const auto name = slot_name(stream);
    QIAO_CO_TRY(const auto connection, co_await connect());
    QIAO_CO_CHECK(co_await drop_slot(*connection, name));
    QIAO_CO_TRY(const auto begin, co_await create_slot(*connection, name));
    QIAO_CO_TRY(const auto session, co_await database_->open_session(stop_));
    const auto identity = session->identity();
    co_await session->close();
    co_return identity.at(begin - 1);
}

Task<Result<std::vector<std::string>>> PostgresDataSource::drop(StreamId stream) {
    QIAO_CO_TRY(const auto connection, co_await connect());
    QIAO_CO_TRY(auto report, co_await drop_source_traces(*connection, stream));
    for (const auto& left : report.left) {
        report.dropped.push_back("left: " + left);
    }
    co_return std::move(report.dropped);
}

}  // namespace qiao::capture::postgres
