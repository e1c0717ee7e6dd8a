#include "qiao/capture/postgres/source_database.h"

#include "qiao/capture/postgres/internal/session_settings.h"
#include "qiao/capture/postgres/publication.h"

#include <nlohmann/json.hpp>

namespace qiao::capture::postgres {
namespace {

using drivers::postgres::Connection;
using drivers::postgres::Parameter;
using drivers::postgres::Runtime;
using Json = nlohmann::json;

/// Everything that decides how rows look or which files hold them. Statistics and the like change
/// all the time and are left out.
constexpr std::string_view kDigests =
    "SELECT n.nspname, c.relname, left(md5(concat_ws('|', c.oid, c.relkind, c.relreplident,"
    " c.relpersistence, (SELECT string_agg(concat_ws(':', a.attnum, a.attname, a.atttypid,"
    " a.atttypmod, a.attnotnull, a.attcollation, a.attgenerated, a.attisdropped), ','"
    " ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0),"
    " (SELECT string_agg(concat_ws(':', i.indexrelid, i.indisprimary, i.indisreplident,"
    " i.indisvalid, i.indkey), ',' ORDER BY i.indexrelid) FROM pg_index i"
    " WHERE i.indrelid = c.oid AND i.indisunique),"
    " (SELECT string_agg(concat_ws(':', p.relid, l.relfilenode, l.relreplident), ','"
    " ORDER BY p.relid) FROM pg_partition_tree(c.oid) p JOIN pg_class l ON l.oid = p.relid"
    " WHERE c.relkind = 'p'))), 16)"
    " FROM unnest($1::text[], $2::text[]) AS w (s, t) JOIN pg_namespace n ON n.nspname = w.s"
    " JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.t";

constexpr std::string_view kNumbers =
    "SELECT n.nspname, c.relname, c.oid FROM unnest($1::text[], $2::text[]) AS w (s, t)"
    " JOIN pg_namespace n ON n.nspname = w.s"
    " JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.t";

constexpr std::string_view kWriteNote =
    "SELECT pg_logical_emit_message(true, 'qiao.heartbeat', jsonb_set($1::jsonb, '{time}',"
    " to_jsonb((extract(epoch FROM clock_timestamp()) * 1000000)::bigint))::text)";

std::vector<Parameter> names_in(const std::vector<model::TableName>& tables) {
    std::vector<std::string> schemas;
    std::vector<std::string> names;
    for (const auto& table : tables) {
        schemas.push_back(table.schema);
        names.push_back(table.name);
    }
    return {text_array(schemas), text_array(names)};
}

Json names_of(const std::vector<model::TableName>& tables) {
    auto list = Json::array();
    for (const auto& table : tables) {
        list.push_back(Json::array({table.schema, table.name}));
    }
    return list;
}

std::optional<std::vector<model::TableName>> tables_of(const Json& list) {
    std::vector<model::TableName> tables;
    if (!list.is_array()) {
        return std::nullopt;
    }
    for (const auto& item : list) {
        if (!item.is_array() || item.size() != 2 || !item[0].is_string() || !item[1].is_string()) {
            return std::nullopt;
        }
        tables.push_back({item[0].get<std::string>(), item[1].get<std::string>()});
    }
    return tables;
}

/// The id that to_string() wrote.
std::optional<StreamId> stream_of(std::string_view hex) {
    StreamId id;
    if (hex.size() != 2 * StreamId::kSize) {
        return std::nullopt;
    }
    const auto digit = [](char c) { return c >= 'a' ? c - 'a' + 10 : c - '0'; };
    for (size_t i = 0; i < StreamId::kSize; ++i) {
        id.bytes[i] = static_cast<std::byte>(digit(hex[2 * i]) * 16 + digit(hex[2 * i + 1]));
    }
    return id.to_string() == hex ? std::optional(id) : std::nullopt;
}

class PostgresCatalogue final : public SourceCatalogue {
public:
    explicit PostgresCatalogue(std::unique_ptr<Connection> connection)
        : connection_(std::move(connection)) {}

    Task<Result<std::optional<SlotInfo>>> slot(std::string name) override {
        return find_slot(*connection_, std::move(name));
    }

    Task<Result<std::vector<SourceTable>>> tables(std::vector<ChosenTable> chosen) override {
        return read_source_tables(*connection_, std::move(chosen));
    }

    Task<Result<std::vector<ColumnFact>>> columns(uint32_t table) override {
        return read_columns(*connection_, table);
    }

    Task<Result<std::map<uint32_t, std::string>>> type_names(std::vector<uint32_t> types) override;
    Task<Result<uint64_t>> wide_xid() override;
    Task<Result<std::map<uint64_t, TransactionFate>>> not_committed(std::vector<uint64_t> wide_xids
    ) override;
    Task<Result<Lsn>> newest() override;
    Task<Result<std::map<uint32_t, model::TableName>>> numbers(std::vector<model::TableName> tables
    ) override;
    Task<Result<std::map<model::TableName, std::string>>> digests(
        std::vector<model::TableName> tables
    ) override;

    Task<Result<std::vector<model::TableName>>> guard(StreamId stream) override {
        return guard_publications(*connection_, stream);
    }

    Task<Status> write_note(HeartbeatNote note) override;

private:
    std::unique_ptr<Connection> connection_;
};

Task<Result<std::map<uint32_t, std::string>>> PostgresCatalogue::type_names(
    std::vector<uint32_t> types
) {
    std::vector<std::string> texts;
    for (const auto type : types) {
        texts.push_back(std::to_string(type));
    }
    std::vector<Parameter> parameters{text_array(texts)};
    QIAO_CO_TRY(
        const auto rows,
        co_await connection_->query(
            "SELECT t.oid, n.nspname || '.' || t.typname FROM pg_type t"
            " JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = ANY ($1::oid[])",
            std::move(parameters)
        )
    );
    std::map<uint32_t, std::string> names;
    for (size_t row = 0; row < rows.size(); ++row) {
        names[static_cast<uint32_t>(rows.number(row, 0))] = rows.text(row, 1);
    }
    co_return names;
}

Task<Result<uint64_t>> PostgresCatalogue::wide_xid() {
    QIAO_CO_TRY(
        const auto rows,
        co_await connection_->query("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
    );
    co_return rows.number(0, 0);
}

Task<Result<std::map<uint64_t, TransactionFate>>> PostgresCatalogue::not_committed(
    std::vector<uint64_t> wide_xids
) {
    std::vector<std::string> texts;
    for (const auto xid : wide_xids) {
        texts.push_back(std::to_string(xid));
    }
    std::vector<Parameter> parameters{text_array(texts)};
    QIAO_CO_TRY(
        const auto rows,
        co_await connection_->query(
            "SELECT x::text, s FROM (SELECT x, pg_xact_status(x) AS s FROM unnest($1::xid8[]) x) t"
            " WHERE s IS DISTINCT FROM 'committed'",
            std::move(parameters)
        )
    );
    std::map<uint64_t, TransactionFate> fates;
    for (size_t row = 0; row < rows.size(); ++row) {
        const auto said = rows.text(row, 1);
        fates[rows.number(row, 0)] = said == "aborted"       ? TransactionFate::Undone
                                     : said == "in progress" ? TransactionFate::UnderWay
                                                             : TransactionFate::Forgotten;
    }
    co_return fates;
}

Task<Result<Lsn>> PostgresCatalogue::newest() {
    QIAO_CO_TRY(
        const auto rows,
        co_await connection_->query(
            "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
            " ELSE pg_current_wal_flush_lsn() END"
        )
    );
    co_return parse_lsn(rows.text(0, 0)).value_or(0);
}

Task<Result<std::map<model::TableName, std::string>>> PostgresCatalogue::digests(
    std::vector<model::TableName> tables
) {
    QIAO_CO_TRY(
        const auto rows, co_await connection_->query(std::string(kDigests), names_in(tables))
    );
    std::map<model::TableName, std::string> digests;
    for (size_t row = 0; row < rows.size(); ++row) {
        digests[{std::string(rows.text(row, 0)), std::string(rows.text(row, 1))}] =
            rows.text(row, 2);
    }
    co_return digests;
}

Task<Result<std::map<uint32_t, model::TableName>>> PostgresCatalogue::numbers(
    std::vector<model::TableName> tables
) {
    QIAO_CO_TRY(
        const auto rows, co_await connection_->query(std::string(kNumbers), names_in(tables))
    );
    std::map<uint32_t, model::TableName> numbers;
    for (size_t row = 0; row < rows.size(); ++row) {
        numbers[static_cast<uint32_t>(rows.number(row, 2))] = {
            std::string(rows.text(row, 0)), std::string(rows.text(row, 1))
        };
    }
    co_return numbers;
}

Task<Status> PostgresCatalogue::write_note(HeartbeatNote note) {
    std::vector<Parameter> parameters{Parameter::of_text(format_note(note))};
    QIAO_CO_TRY(
        const auto rows, co_await connection_->query(std::string(kWriteNote), std::move(parameters))
    );
    co_return Status{};
}

class PostgresDatabase final : public SourceDatabase {
public:
    PostgresDatabase(Runtime runtime, drivers::DataSourceUrl url)
        : runtime_(runtime), url_(std::move(url)) {}

    Task<Result<std::unique_ptr<SourceSession>>> open_session(StopSignal& stop) override {
        return ReplicationSession::open(runtime_, url_, stop);
    }

    Task<Result<std::unique_ptr<SourceCatalogue>>> open_catalogue(StopSignal& stop) override {
        auto options = internal::catalogue_options();
        QIAO_CO_TRY(
            auto connection, co_await Connection::open(runtime_, url_, std::move(options), stop)
        );
        co_return std::make_unique<PostgresCatalogue>(std::move(connection));
    }

    std::string display() const override { return url_.display(); }

private:
    Runtime runtime_;
    drivers::DataSourceUrl url_;
};

}  // namespace

std::string format_note(const HeartbeatNote& note) {
    return Json{
        {"v", 1},
        {"stream", note.stream.to_string()},
        {"time", note.written_at.us},
        {"nonce", note.nonce},
        {"digest", note.catalogue_digest},
        {"changed", names_of(note.changed)},
        {"withdrawn", names_of(note.withdrawn)},
    }
        .dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<HeartbeatNote> parse_note(std::string_view content) {
    const auto json = Json::parse(content, nullptr, false);
    if (!json.is_object()) {
        return std::nullopt;
    }
    const auto field = [&json](const char* name) {
        const auto found = json.find(name);
        return found == json.end() ? Json() : *found;
    };
    const auto stream = field("stream");
    const auto time = field("time");
    const auto nonce = field("nonce");
    const auto digest = field("digest");
    auto changed = tables_of(field("changed"));
    auto withdrawn = tables_of(field("withdrawn"));
    const auto id = stream.is_string() ? stream_of(stream.get<std::string>()) : std::nullopt;
    if (!id || !time.is_number_integer() || !nonce.is_number_integer() || !digest.is_string() ||
        !changed || !withdrawn) {
        return std::nullopt;
    }
    HeartbeatNote note;
    note.stream = *id;
    note.written_at.us = time.get<int64_t>();
    note.nonce = nonce.get<uint64_t>();
    note.catalogue_digest = digest.get<std::string>();
    note.changed = *std::move(changed);
    note.withdrawn = *std::move(withdrawn);
    return note;
}

std::unique_ptr<SourceDatabase> make_source_database(Runtime runtime, drivers::DataSourceUrl url) {
    return std::make_unique<PostgresDatabase>(runtime, std::move(url));
}

}  // namespace qiao::capture::postgres
