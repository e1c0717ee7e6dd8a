#include "qiao/drivers/postgres/table_reader.h"

#include "qiao/drivers/postgres/internal/copy_row.h"
#include "qiao/drivers/postgres/internal/part_condition.h"
#include "qiao/drivers/postgres/internal/set_statement.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace qiao::drivers::postgres {
namespace {

constexpr uint32_t kTextOid = 25;
constexpr uint32_t kTextArrayOid = 1009;
/// Of one look-up by keys; its result is in memory.
constexpr size_t kMostKeys = 1000;
constexpr uint64_t kRowsBetweenCaps = 1000;

/// The snapshot is taken before the position is read, so every row seen was committed before it.
constexpr const char* kPosition = R"(
SELECT s.system_identifier,
       CASE WHEN pg_is_in_recovery()
            THEN (SELECT timeline_id FROM pg_control_checkpoint())
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int
       END,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
            ELSE pg_current_wal_insert_lsn() END - '0/0'::pg_lsn
  FROM pg_control_system() s)";

constexpr const char* kPlainPosition = R"(
SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
            ELSE pg_current_wal_insert_lsn() END - '0/0'::pg_lsn)";

/// Takes the writing transaction's number whenever a row is written. docs/adr/0012-verification.md
constexpr const char* kVersionColumn = "xmin";

bool has_versions(const CatalogueTable& table) {
    return table.kind == RelationKind::Table || table.kind == RelationKind::Partitioned;
}

std::string source_of(const CatalogueTable& table) {
    const auto name = quote_table(table.schema.table);
    return table.kind == RelationKind::Table ? "ONLY " + name : name;
}

Result<std::string> select_list(
    const CatalogueTable& table, const std::vector<CanonicalColumn>& columns
) {
    std::string list;
    for (const auto& column : columns) {
        const bool version = column.name == kVersionColumn && has_versions(table);
        if (!version && !table.schema.find_column(column.name)) {
            return Error(
                ErrorCode::DbNoTable,
                fmt::format("column {} of {}", column.name, table.schema.table.to_string())
            );
        }
        const bool text = column.form == CanonicalColumn::Form::Text;
        list += fmt::format(
            "{}t.{}{}",
            list.empty() ? "" : ", ",
            quote_identifier(column.name),
            text ? "::text" : ""
        );
    }
    return list;
}

/// How a key column is compared, so that the key's own index serves.
std::string equals_of(const CatalogueTable& table, const std::string& column) {
    for (const auto& key : table.keys) {
        const auto found = std::ranges::find(key.columns, column);
        if (found != key.columns.end()) {
            return key.equals[static_cast<size_t>(found - key.columns.begin())];
        }
    }
    return "=";
}

/// The keys of one look-up as a condition and an array for each key column.
struct KeyCondition {
    std::string sql;
    std::vector<Parameter> parameters;
};

Result<KeyCondition> key_condition(
    const CatalogueTable& table,
    const std::vector<CanonicalColumn>& key_columns,
    std::span<const Bytes> keys
) {
    std::vector<std::vector<std::optional<ByteView>>> arrays(key_columns.size());
    for (const auto& key : keys) {
        QIAO_TRY(const auto tuple, model::Tuple::parse(key));
        if (tuple.column_count() != key_columns.size()) {
            return Error(ErrorCode::PacketMalformed, "a key with other columns");
        }
        tuple.for_each([&arrays](size_t i, const model::Value& value) {
            const bool null = value.kind == model::ValueKind::Null;
            arrays[i].push_back(null ? std::nullopt : std::optional(value.bytes));
        });
    }
    KeyCondition condition;
    std::string lists;
    std::string names;
    std::string match;
    for (size_t i = 0; i < key_columns.size(); ++i) {
        const auto& column = key_columns[i];
        const auto index = table.schema.find_column(column.name);
        if (!index) {
            return Error(ErrorCode::DbNoTable, "key column " + column.name);
        }
        const auto& facts = table.columns[*index];
        const bool text = column.form == CanonicalColumn::Form::Text;
        const auto join = i == 0 ? "" : ", ";
        lists += fmt::format("{}${}", join, i + 1);
        names += fmt::format("{}c{}", join, i);
        match += fmt::format(
            "{}t.{} {} k.c{}{}",
            i == 0 ? "" : " AND ",
            quote_identifier(column.name),
            equals_of(table, column.name),
            i,
            text ? "::" + quote_type(facts.base_type) : std::string()
        );
        condition.parameters.push_back(
            {.type = text ? kTextArrayOid : facts.base_array_oid,
             .binary = true,
             .bytes = internal::binary_array(text ? kTextOid : facts.base_oid, arrays[i])}
        );
    }
    condition.sql =
        fmt::format("EXISTS (SELECT FROM unnest({}) AS k({}) WHERE {})", lists, names, match);
    return condition;
}

Bytes tuple_of(const Rows& rows, size_t row, const std::vector<CanonicalColumn>& columns) {
    model::TupleBuilder builder(static_cast<uint16_t>(columns.size()));
    for (size_t i = 0; i < columns.size(); ++i) {
        if (rows.is_null(row, i)) {
            builder.null();
        } else if (columns[i].form == CanonicalColumn::Form::Text) {
            builder.text(rows.text(row, i));
        } else {
            builder.binary(as_bytes(rows.text(row, i)));
        }
    }
    return std::move(builder).take();
}

/// For comparing, the primary key names rows whatever the replica identity says.
void settle_key(model::TableSchema& schema, const CatalogueTable& table) {
    const auto names_rows = [](const KeyFacts& key) { return key.primary || key.not_null; };
    const auto key = std::ranges::find_if(table.keys, names_rows);
    schema.identity = key == table.keys.end() ? model::Identity::None
                      : key->primary          ? model::Identity::PrimaryKey
                                              : model::Identity::Index;
    for (auto& column : schema.columns) {
        column.key = key != table.keys.end() &&
                     std::ranges::find(key->columns, column.name) != key->columns.end();
    }
}

}  // namespace

Task<Result<std::unique_ptr<TableReader>>> PostgresTableReader::open(
    Runtime runtime, DataSourceUrl url, StopSignal& stop, model::Selection selection
) {
    ConnectOptions options;
    options.application_name = "qiao verify";
    options.settings = reader_settings();
    // The zone that the database itself has must be seen before ours is set.
    std::erase_if(options.settings, [](const auto& setting) {
        return setting.first == "timezone";
    });
    QIAO_CO_TRY(auto connection, co_await Connection::open(runtime, url, std::move(options), stop));
    QIAO_CO_TRY(const auto zone, co_await connection->query("SELECT current_setting('TimeZone')"));
    QIAO_CO_CHECK(co_await connection->execute("SET timezone = 'UTC'"));
    co_return std::unique_ptr<TableReader>(new PostgresTableReader(
        std::move(connection),
        std::move(url),
        std::string(zone.text(0, 0)),
        stop,
        std::move(selection)
    ));
}

Task<Result<const CatalogueTable*>> PostgresTableReader::table(model::TableName name) {
    const auto known = tables_.find(name);
    if (known != tables_.end()) {
        co_return &known->second;
    }
    QIAO_CO_TRY(auto fresh, co_await read_table(*connection_, name));
    co_return &tables_.insert_or_assign(name, std::move(fresh)).first->second;
}

std::string PostgresTableReader::condition_of(const CatalogueTable& table) const {
    const auto chosen = selection_.find(table.schema.table);
    const bool all = chosen == selection_.end() || chosen->second.where.empty();
    return all ? "true" : "(" + chosen->second.where + ")";
}

void PostgresTableReader::cut_columns(Shape& shape) const {
    const auto chosen = selection_.find(shape.schema.table);
    if (chosen == selection_.end() || chosen->second.columns.empty()) {
        return;
    }
    const auto is_left_out = [&](const std::string& name) {
        return std::ranges::find(chosen->second.columns, name) == chosen->second.columns.end();
    };
    std::erase_if(shape.schema.columns, [&](const auto& column) {
        return is_left_out(column.name);
    });
    std::erase_if(shape.binary_safe, is_left_out);
}

Task<Result<TableReader::Shape>> PostgresTableReader::describe(model::TableName name) {
    tables_.erase(name);
    QIAO_CO_TRY(const auto* const found, co_await table(std::move(name)));
    Shape shape;
    shape.schema = found->schema;
    settle_key(shape.schema, *found);
    for (size_t i = 0; i < found->columns.size(); ++i) {
        if (found->columns[i].binary_safe) {
            shape.binary_safe.push_back(found->schema.columns[i].name);
        }
    }
    shape.version_column = has_versions(*found) ? kVersionColumn : "";
    cut_columns(shape);
    co_return shape;
}

Task<Result<model::SourcePosition>> PostgresTableReader::begin_snapshot() {
    QIAO_CO_CHECK(co_await connection_->execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"));
    auto position = co_await current_position();
    if (!position && connection_->alive()) {
        (void)co_await connection_->execute("ROLLBACK");
    }
    co_return position;
}

Task<Status> PostgresTableReader::end_snapshot() { return connection_->execute("ROLLBACK"); }

Task<Result<model::SourcePosition>> PostgresTableReader::current_position() {
    if (identity_) {
        QIAO_CO_TRY(const auto plain, co_await connection_->query(kPlainPosition));
        co_return model::SourcePosition::lsn(
            identity_->system_id, identity_->timeline, plain.number(0, 0)
        );
    }
    // A refusal must not end the caller's transaction.
    QIAO_CO_TRY(
        const auto allowed,
        co_await connection_->query(
            "SELECT has_function_privilege('pg_control_system()', 'EXECUTE') AND "
            "has_function_privilege('pg_control_checkpoint()', 'EXECUTE')"
        )
    );
    if (!allowed.flag(0, 0)) {
        co_return co_await position_by_identity();
    }
    QIAO_CO_TRY(const auto rows, co_await connection_->query(kPosition));
    co_return model::SourcePosition::lsn(
        rows.number(0, 0), static_cast<uint32_t>(rows.number(0, 1)), rows.number(0, 2)
    );
}

Task<Result<model::SourcePosition>> PostgresTableReader::position_by_identity() {
    ConnectOptions options;
    options.replication = true;
    options.application_name = "qiao verify";
    options.settings = replication_settings();
    QIAO_CO_TRY(
        const auto other,
        co_await Connection::open(connection_->runtime(), url_, std::move(options), stop_)
    );
    QIAO_CO_TRY(const auto rows, co_await other->query("IDENTIFY_SYSTEM"));
    Identity identity;
    identity.system_id = rows.number(0, 0);
    identity.timeline = static_cast<uint32_t>(rows.number(0, 1));
    identity_ = identity;
    co_return co_await current_position();
}

Task<Result<RowRange>> PostgresTableReader::settle_range(
    model::TableName name, RangeWanted wanted
) {
    QIAO_CO_TRY(const auto* const known, co_await table(std::move(name)));
    QIAO_CO_TRY(const auto sql, internal::settling_query(*known, wanted, zone_));
    const auto rows = co_await connection_->query(sql);
    if (!rows) {
        co_return internal::as_bound_error(rows.error());
    }
    auto range = std::move(wanted.range);
    const auto take = [&rows](size_t column, std::optional<std::string>& end) {
        end.reset();
        if (!rows->is_null(0, column)) {
            end = std::string(rows->text(0, column));
        }
    };
    take(0, range.from);
    take(1, range.to);
    co_return range;
}

Task<Status> PostgresTableReader::scan(
    model::TableName name,
    std::vector<CanonicalColumn> columns,
    TablePart part,
    const Visit& visit,
    StopSignal& stop
) {
    QIAO_CO_TRY(const auto* const known, co_await table(std::move(name)));
    QIAO_CO_TRY(const auto list, select_list(*known, columns));
    QIAO_CO_TRY(const auto rows, internal::part_condition(*known, part));
    const auto sql = fmt::format(
        "COPY (SELECT {} FROM {} t WHERE {} AND {}) TO STDOUT (FORMAT binary)",
        list,
        source_of(*known),
        condition_of(*known),
        rows
    );
    auto begun = co_await connection_->begin_copy_out(sql);
    if (!begun) {
        // The ends of a range are read with the statement, before any row.
        co_return part.range ? internal::as_bound_error(begun.error()) : begun.error();
    }
    bool ended = false;
    auto done = co_await drain(columns, visit, stop, ended);
    if (!ended && connection_->alive()) {
        // Stopped or malformed: the session stays usable for the end of the snapshot.
        co_await connection_->cancel_and_wait();
        bool more = true;
        while (more) {
            const auto rest = co_await connection_->copy_out();
            more = rest && *rest;
        }
    }
    co_return done;
}

Task<Status> PostgresTableReader::drain(
    const std::vector<CanonicalColumn>& columns, const Visit& visit, StopSignal& stop, bool& ended
) {
    internal::CopyRowReader reader(columns);
    auto* const caps = connection_->runtime().caps;
    uint64_t rows = 0;
    while (true) {
        if (caps != nullptr && rows >= kRowsBetweenCaps) {
            QIAO_CO_CHECK(co_await caps->pass(std::exchange(rows, 0), stop));
        }
        QIAO_CO_TRY(const auto message, connection_->try_copy_out(ended));
        if (message) {
            QIAO_CO_TRY(const auto row, reader.read(*message));
            if (row) {
                visit(*row);
                ++rows;
            }
        } else if (ended) {
            co_return co_await connection_->end_copy_out();
        } else {
            QIAO_CO_CHECK(co_await connection_->wait_readable(Deadline::never(), stop));
        }
    }
}

Task<Status> PostgresTableReader::read_keys(
    model::TableName name,
    std::vector<CanonicalColumn> columns,
    std::vector<CanonicalColumn> key_columns,
    std::vector<Bytes> keys,
    const Visit& visit
) {
    QIAO_CO_TRY(const auto* const known, co_await table(std::move(name)));
    QIAO_CO_TRY(const auto list, select_list(*known, columns));
    const std::span<const Bytes> all(keys);
    for (size_t first = 0; first < keys.size(); first += kMostKeys) {
        const auto part = all.subspan(first, std::min(kMostKeys, keys.size() - first));
        QIAO_CO_TRY(auto condition, key_condition(*known, key_columns, part));
        const auto sql = fmt::format(
            "SELECT {} FROM {} t WHERE ({}) AND {}",
            list,
            source_of(*known),
            condition.sql,
            condition_of(*known)
        );
        QIAO_CO_TRY(
            const auto rows,
            co_await connection_->query(sql, std::move(condition.parameters), ResultForm::Binary)
        );
        for (size_t row = 0; row < rows.size(); ++row) {
            const auto bytes = tuple_of(rows, row, columns);
            QIAO_CO_TRY(const auto tuple, model::Tuple::parse(bytes));
            visit(tuple);
        }
    }
    co_return Status{};
}

Task<Result<uint64_t>> PostgresTableReader::count(model::TableName name, TablePart part) {
    QIAO_CO_TRY(const auto* const known, co_await table(std::move(name)));
    QIAO_CO_TRY(const auto condition, internal::part_condition(*known, part));
    const auto sql = fmt::format(
        "SELECT count(*) FROM {} t WHERE {} AND {}",
        source_of(*known),
        condition_of(*known),
        condition
    );
    const auto rows = co_await connection_->query(sql);
    if (!rows) {
        co_return part.range ? internal::as_bound_error(rows.error()) : rows.error();
    }
    co_return rows->number(0, 0);
}

}  // namespace qiao::drivers::postgres
