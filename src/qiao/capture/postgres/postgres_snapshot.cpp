#include "qiao/capture/postgres/postgres_snapshot.h"

#include "qiao/capture/postgres/internal/copy_rows.h"
#include "qiao/capture/postgres/lsn.h"
#include "qiao/capture/postgres/slot.h"
#include "qiao/drivers/load_rows.h"
#include "qiao/drivers/postgres/catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

namespace qiao::capture::postgres {
namespace {

using drivers::LoadFormat;
using drivers::postgres::Connection;
using drivers::postgres::ConnectOptions;
using drivers::postgres::quote_identifier;
using drivers::postgres::quote_literal;
using drivers::postgres::Runtime;

/// Pages `from` up to, not with, `to` of one leaf; without `to`, to its end, where pages may have
/// been added since.
struct PageRange {
    uint32_t leaf = 0;
    uint64_t from = 0;
    std::optional<uint64_t> to;

    std::string to_string() const {
        return fmt::format("{}:{}-{}", leaf, from, to ? std::to_string(*to) : "");
    }

    static std::optional<PageRange> parse(std::string_view text) {
        PageRange range;
        const auto* const end = text.data() + text.size();
        auto at = std::from_chars(text.data(), end, range.leaf);
        if (at.ec != std::errc{} || at.ptr == end || *at.ptr != ':') {
            return std::nullopt;
        }
        at = std::from_chars(at.ptr + 1, end, range.from);
        if (at.ec != std::errc{} || at.ptr == end || *at.ptr != '-') {
            return std::nullopt;
        }
        if (at.ptr + 1 != end) {
            at = std::from_chars(at.ptr + 1, end, range.to.emplace());
        }
        return range;
    }
};

struct ReaderPlace {
    Runtime runtime;
    drivers::DataSourceUrl url;
    std::string snapshot;
    size_t value_bytes_max = 0;
    StopSignal* stop = nullptr;
};

std::string copy_statement(
    const model::TableSchema& schema,
    const model::TableName& leaf,
    const PageRange& range,
    const std::string& where,
    LoadFormat format
) {
    std::string columns;
    for (const auto& column : schema.columns) {
        columns += (columns.empty() ? "" : ", ") + quote_identifier(column.name);
    }
    auto condition = range.from == 0 ? "" : fmt::format(" WHERE ctid >= '({},0)'", range.from);
    if (range.to) {
        condition +=
            fmt::format("{} ctid < '({},0)'", condition.empty() ? " WHERE" : " AND", *range.to);
    }
    if (!where.empty()) {
        condition += fmt::format("{} ({})", condition.empty() ? " WHERE" : " AND", where);
    }
    return fmt::format(
        "COPY (SELECT {} FROM ONLY {}{}) TO STDOUT (FORMAT {})",
        columns,
        drivers::postgres::quote_table(leaf),
        condition,
        format == LoadFormat::PgCopyBinary ? "binary" : "text"
    );
}

/// Connections whose part has ended, outside a transaction: a database has many small tables, and
/// to connect costs more than to read one.
using IdleConnections = std::vector<std::unique_ptr<Connection>>;

class PartReader final : public SnapshotSession::Reader {
public:
    PartReader(
        std::unique_ptr<Connection> connection,
        std::shared_ptr<IdleConnections> idle,
        model::TableSchema schema,
        LoadFormat format,
        size_t chunk_bytes,
        size_t value_bytes_max
    )
        : connection_(std::move(connection)),
          caps_(connection_->runtime().caps),
          idle_(std::move(idle)),
          schema_(std::move(schema)),
          format_(format),
          rows_(format),
          chunk_bytes_(chunk_bytes),
          value_bytes_max_(value_bytes_max) {}

    Task<Result<LoadChunk>> next(StopSignal& stop) override {
        LoadChunk chunk;
        while (chunk.rows.size() + chunk.withheld.size() < chunk_bytes_) {
            bool ended = false;
            QIAO_CO_TRY(const auto message, connection_->try_copy_out(ended));
            if (message) {
                QIAO_CO_CHECK(take(*message, chunk));
            } else if (ended) {
                QIAO_CO_CHECK(co_await connection_->end_copy_out());
                // The table's lock goes with the transaction: its owner may wait for it.
                QIAO_CO_CHECK(co_await connection_->execute("COMMIT"));
                idle_->push_back(std::move(connection_));
                chunk.last = true;
                break;
            } else {
                QIAO_CO_CHECK(co_await connection_->wait_readable(Deadline::never(), stop));
            }
        }
        if (caps_ != nullptr) {
            QIAO_CO_CHECK(co_await caps_->pass(chunk.row_count, stop));
        }
        co_return chunk;
    }

private:
    Status take(ByteView message, LoadChunk& chunk) {
        QIAO_TRY(const auto row, rows_.row(message));
        if (!row) {
            return {};
        }
        ++chunk.row_count;
        QIAO_TRY(const auto kept, drivers::withhold_row(format_, schema_, *row, value_bytes_max_));
        const ByteView taken = kept ? ByteView(*kept) : *row;
        auto& rows = kept ? chunk.withheld : chunk.rows;
        rows.insert(rows.end(), taken.begin(), taken.end());
        return {};
    }

    std::unique_ptr<Connection> connection_;  ///< null after the last row
    drivers::SourceCaps* caps_;
    std::shared_ptr<IdleConnections> idle_;
    model::TableSchema schema_;
    LoadFormat format_;
    internal::CopyRows rows_;
    size_t chunk_bytes_;
    size_t value_bytes_max_;
};

class PostgresSnapshot final : public SnapshotSession {
public:
    PostgresSnapshot(ReaderPlace place, std::unique_ptr<Connection> exporter)
        : place_(std::move(place)), exporter_(std::move(exporter)) {}

    const model::SourcePosition& joined_at() const override { return joined_at_; }

    const std::vector<LoadPart>& parts() const override { return parts_; }

    LoadFormat format(const LoadPart& part) const override {
        const auto found = formats_.find(part.schema.table);
        return found == formats_.end() ? LoadFormat::PgCopyText : found->second;
    }

    Task<Result<std::unique_ptr<Reader>>> read(LoadPart part, size_t chunk_bytes) override;

    /// The snapshot lives until the next command on this connection, or its end.
    Task<Status> export_snapshot(std::string slot);
    Task<Status> plan(std::vector<ChosenTable> chosen, PostgresSnapshotOptions options);

private:
    Task<Result<std::unique_ptr<Connection>>> connect();
    Task<Result<std::unique_ptr<Connection>>> open_connection();

    ReaderPlace place_;
    std::unique_ptr<Connection> exporter_;
    std::shared_ptr<IdleConnections> idle_ = std::make_shared<IdleConnections>();
    model::SourcePosition joined_at_;
    std::vector<LoadPart> parts_;
    std::map<model::TableName, LoadFormat> formats_;
    std::map<uint32_t, model::TableName> leaves_;
    std::map<model::TableName, std::string> conditions_;
};

Task<Status> PostgresSnapshot::export_snapshot(std::string slot) {
    QIAO_CO_TRY(const auto system, co_await exporter_->query("IDENTIFY_SYSTEM"));
    // The form that 14 to 18 all take.
    auto sql = fmt::format(
        "CREATE_REPLICATION_SLOT {} TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT",
        quote_identifier(slot)
    );
    auto made = co_await exporter_->query(std::move(sql));
    if (!made) {
        const auto& error = made.error();
        co_return error.is(ErrorCode::DbResource) ? Error(ErrorCode::CaptureNoSlot, error.detail())
                                                  : error.within("snapshot");
    }
    const auto point = made->size() == 1 ? parse_lsn(made->text(0, 1)) : std::nullopt;
    if (!point || system.size() != 1) {
        co_return Error(ErrorCode::CaptureProtocol, "CREATE_REPLICATION_SLOT");
    }
    const SystemIdentity identity{system.number(0, 0), static_cast<uint32_t>(system.number(0, 1))};
    joined_at_ = identity.at(*point);
    place_.snapshot = made->text(0, 2);
    co_return Status{};
}

/// In a transaction of the session's snapshot.
Task<Result<std::unique_ptr<Connection>>> PostgresSnapshot::connect() {
    std::unique_ptr<Connection> connection;
    if (idle_->empty()) {
        QIAO_CO_TRY(connection, co_await open_connection());
    } else {
        connection = std::move(idle_->back());
        idle_->pop_back();
    }
    auto sql = fmt::format(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}",
        quote_literal(place_.snapshot)
    );
    QIAO_CO_CHECK(co_await connection->execute(std::move(sql)));
    co_return connection;
}

Task<Result<std::unique_ptr<Connection>>> PostgresSnapshot::open_connection() {
    ConnectOptions options;
    options.application_name = "qiao load";
    options.settings = drivers::postgres::reader_settings();
    // A reader waits while its consumer writes; that is not a session left behind.
    options.settings.emplace_back("idle_in_transaction_session_timeout", "0");
    co_return co_await Connection::open(
        place_.runtime, place_.url, std::move(options), *place_.stop
    );
}

Task<Status> PostgresSnapshot::plan(
    std::vector<ChosenTable> chosen, PostgresSnapshotOptions options
) {
    QIAO_CO_TRY(const auto connection, co_await connect());
    QIAO_CO_TRY(const auto tables, co_await read_source_tables(*connection, std::move(chosen)));
    QIAO_CO_CHECK(all_capturable(tables));
    QIAO_CO_TRY(
        const auto block, co_await connection->query("SELECT current_setting('block_size')")
    );
    for (const auto& table : tables) {
        const auto is_text = [&table](const model::Column& column) {
            return std::ranges::find(table.text_columns, column.name) != table.text_columns.end();
        };
        const bool text = std::ranges::any_of(table.schema.columns, is_text);
        formats_[table.name()] =
            options.binary && !text ? LoadFormat::PgCopyBinary : LoadFormat::PgCopyText;
        for (const auto& leaf : table.leaves) {
            leaves_[leaf.oid] = leaf.name;
        }
        conditions_[table.name()] = table.where;
        auto parts = cut_into_parts(table, options.part_bytes, block.number(0, 0));
        std::ranges::move(parts, std::back_inserter(parts_));
    }
    co_return Status{};
}

Task<Result<std::unique_ptr<SnapshotSession::Reader>>> PostgresSnapshot::read(
    LoadPart part, size_t chunk_bytes
) {
    const auto range = PageRange::parse(part.range);
    const auto leaf = range ? leaves_.find(range->leaf) : leaves_.end();
    if (leaf == leaves_.end()) {
        co_return Error(ErrorCode::CaptureProtocol, "load part " + part.range);
    }
    const auto kind = format(part);
    auto sql =
        copy_statement(part.schema, leaf->second, *range, conditions_[part.schema.table], kind);
    QIAO_CO_TRY(auto connection, co_await connect());
    const auto begun = co_await connection->begin_copy_out(std::move(sql));
    if (!begun) {
        co_return begun.error().within(part.schema.table.to_string());
    }
    co_return std::make_unique<PartReader>(
        std::move(connection),
        idle_,
        std::move(part.schema),
        kind,
        chunk_bytes,
        place_.value_bytes_max
    );
}

}  // namespace

std::vector<LoadPart> cut_into_parts(
    const SourceTable& table, uint64_t part_bytes, uint64_t block_bytes
) {
    std::vector<LoadPart> parts;
    const auto pages_each = std::max<uint64_t>(part_bytes / std::max<uint64_t>(block_bytes, 1), 1);
    for (const auto& leaf : table.leaves) {
        const auto pages = leaf.bytes / std::max<uint64_t>(block_bytes, 1);
        const auto count =
            leaf.heap ? std::max<uint64_t>((pages + pages_each - 1) / pages_each, 1) : 1;
        for (uint64_t i = 0; i < count; ++i) {
            PageRange range{leaf.oid, i * pages_each, std::nullopt};
            if (i + 1 < count) {
                range.to = (i + 1) * pages_each;
            }
            LoadPart part;
            part.schema = table.schema;
            part.number = static_cast<uint32_t>(parts.size());
            part.rows_estimated = leaf.rows_estimated / count;
            part.bytes_estimated = leaf.bytes / count;
            part.range = range.to_string();
            parts.push_back(std::move(part));
        }
    }
    for (auto& part : parts) {
        part.parts = static_cast<uint32_t>(parts.size());
    }
    return parts;
}

PostgresSnapshotSource::PostgresSnapshotSource(
    Runtime runtime, drivers::DataSourceUrl url, PostgresSnapshotOptions options, Rng& rng
)
    : runtime_(runtime), url_(std::move(url)), options_(std::move(options)), rng_(rng) {}

std::vector<ChosenTable> PostgresSnapshotSource::chosen(const std::vector<model::TableName>& tables
) const {
    std::map<model::TableName, const ChosenTable*> known;
    for (const auto& table : options_.tables) {
        known.emplace(table.name, &table);
    }
    std::vector<ChosenTable> result;
    for (const auto& name : tables) {
        const auto found = known.find(name);
        result.push_back(found == known.end() ? ChosenTable{name} : *found->second);
    }
    return result;
}

Task<Result<std::unique_ptr<SnapshotSession>>> PostgresSnapshotSource::open(
    std::vector<model::TableName> tables, StopSignal& stop
) {
    ConnectOptions options;
    options.replication = true;
    options.application_name = "qiao load snapshot";
    options.settings = drivers::postgres::replication_settings();
    options.settings.emplace_back("idle_in_transaction_session_timeout", "0");
    auto connection = co_await Connection::open(runtime_, url_, std::move(options), stop);
    if (!connection) {
        const auto& error = connection.error();
        co_return error.is(ErrorCode::DbResource) ? Error(ErrorCode::CaptureNoSlot, error.detail())
                                                  : error;
    }
    ReaderPlace place{runtime_, url_, {}, options_.value_bytes_max, &stop};
    auto session = std::make_unique<PostgresSnapshot>(std::move(place), *std::move(connection));
    auto name = load_slot_name(options_.stream, rng_.number());
    QIAO_CO_CHECK(co_await session->export_snapshot(std::move(name)));
    auto wanted = chosen(tables);
    QIAO_CO_CHECK(co_await session->plan(std::move(wanted), options_));
    co_return std::unique_ptr<SnapshotSession>(std::move(session));
}

}  // namespace qiao::capture::postgres
