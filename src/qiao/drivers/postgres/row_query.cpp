#include "qiao/drivers/postgres/row_query.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::drivers::postgres {
namespace {

/// Characters of `yyyy-MM-dd hh:mm:ss`.
constexpr size_t kSecondsLength = 19;
constexpr std::string_view kStampFormat = "'YYYY-MM-DD HH24:MI:SS.US'";
constexpr std::string_view kStampPattern =
    "'^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}'";

std::string list(const std::vector<std::string>& names) {
    std::string text;
    for (const auto& name : names) {
        text += (text.empty() ? "" : ", ") + quote_identifier(name);
    }
    return text;
}

bool same_columns(std::vector<std::string> a, std::vector<std::string> b) {
    std::ranges::sort(a);
    std::ranges::sort(b);
    return a == b;
}

class PostgresRowDatabase final : public RowDatabase {
public:
    PostgresRowDatabase(
        Runtime runtime, DataSourceUrl url, RowQueryOptions options, StopSignal& stop
    )
        : runtime_(runtime), url_(std::move(url)), options_(std::move(options)), stop_(stop) {}

    Task<Result<std::unique_ptr<RowQuery>>> connect() override {
        return PostgresRowQuery::open(runtime_, url_, options_, stop_);
    }

private:
    Runtime runtime_;
    DataSourceUrl url_;
    RowQueryOptions options_;
    StopSignal& stop_;
};

}  // namespace

Task<Result<std::unique_ptr<RowQuery>>> PostgresRowQuery::open(
    Runtime runtime, DataSourceUrl url, RowQueryOptions options, StopSignal& stop
) {
    ConnectOptions connecting;
    connecting.application_name = "qiao rows";
    connecting.settings = reader_settings();
    // The zone that the database itself has must be seen before ours is set.
    std::erase_if(connecting.settings, [](const auto& setting) {
        return setting.first == "timezone";
    });
    QIAO_CO_TRY(
        auto connection, co_await Connection::open(runtime, url, std::move(connecting), stop)
    );
    if (options.zone.empty()) {
        QIAO_CO_TRY(
            const auto zone, co_await connection->query("SELECT current_setting('TimeZone')")
        );
        options.zone = zone.text(0, 0);
    }
    QIAO_CO_CHECK(co_await connection->execute("SET timezone = 'UTC'"));
    co_return std::make_unique<PostgresRowQuery>(std::move(connection), std::move(options.zone));
}

PostgresRowQuery::Known::Stamp PostgresRowQuery::stamp_kind(std::string_view type) {
    if (type == "pg_catalog.timestamp") {
        return Known::Stamp::Timestamp;
    }
    if (type == "pg_catalog.timestamptz") {
        return Known::Stamp::Zoned;
    }
    if (type == "pg_catalog.date") {
        return Known::Stamp::Date;
    }
    const bool text =
        type == "pg_catalog.text" || type == "pg_catalog.varchar" || type == "pg_catalog.bpchar";
    return text ? Known::Stamp::Text : Known::Stamp::Other;
}

/// The stamp's value as comparable text.
std::string PostgresRowQuery::stamp_text(const Known& known, const std::string& column) {
    if (known.stamp == Known::Stamp::Text) {
        return fmt::format("{}::text", quote_identifier(column));
    }
    return fmt::format("to_char({}::timestamp, {})", quote_identifier(column), kStampFormat);
}

/// A stamp as a parameter that an index over the column can serve.
std::string PostgresRowQuery::bound(const Known& known, std::string_view parameter) {
    const bool text = known.stamp == Known::Stamp::Text;
    const bool zoned = known.stamp == Known::Stamp::Zoned;
    return fmt::format("{}::{}", parameter, text ? "text" : zoned ? "timestamptz" : "timestamp");
}

Task<Result<const PostgresRowQuery::Known*>> PostgresRowQuery::known(TimedTable timed) {
    const auto found = tables_.find(timed.table);
    if (found != tables_.end()) {
        co_return &found->second;
    }
    QIAO_CO_TRY(auto table, co_await read_table(*connection_, timed.table));
    Known known;
    known.schema.table = timed.table;
    known.schema.identity = model::Identity::Index;
    known.keys = timed.keys;
    if (const auto* primary = table.primary_key(); known.keys.empty() && primary != nullptr) {
        known.keys = primary->columns;
    }
    auto needed = known.keys;
    needed.push_back(timed.stamp);
    needed.insert(needed.end(), timed.columns.begin(), timed.columns.end());
    for (const auto& name : needed) {
        if (!table.schema.find_column(name)) {
            co_return Error(
                ErrorCode::DbNoTable, fmt::format("{}: no column {}", timed.table.to_string(), name)
            );
        }
    }
    for (auto column : table.schema.columns) {
        const bool wanted =
            timed.columns.empty() || std::ranges::find(needed, column.name) != needed.end();
        if (wanted) {
            column.key = std::ranges::find(known.keys, column.name) != known.keys.end();
            column.generated = false;  // here it is a value like any other
            known.schema.columns.push_back(std::move(column));
        }
    }
    known.stamp = stamp_kind(table.schema.columns[*table.schema.find_column(timed.stamp)].type);
    known.table = std::move(table);
    co_return &tables_.emplace(timed.table, std::move(known)).first->second;
}

Task<Result<std::vector<model::TableName>>> PostgresRowQuery::find(std::vector<std::string> patterns
) {
    std::vector<TablePattern> parsed;
    for (const auto& pattern : patterns) {
        QIAO_CO_TRY(auto one, TablePattern::parse(pattern));
        parsed.push_back(std::move(one));
    }
    QIAO_CO_TRY(const auto relations, co_await read_tables(*connection_, std::move(parsed)));
    std::vector<model::TableName> names;
    for (const auto& relation : relations) {
        names.push_back(relation.schema.table);
    }
    co_return names;
}

Task<Result<model::TableSchema>> PostgresRowQuery::describe(TimedTable table) {
    tables_.erase(table.table);
    QIAO_CO_TRY(const auto* const description, co_await known(table));
    if (description->stamp == Known::Stamp::Other) {
        co_return Error(
            ErrorCode::DbValue,
            fmt::format("{}.{} is neither a time nor text", table.table.to_string(), table.stamp)
        );
    }
    co_return description->schema;
}

Task<Result<SourceNow>> PostgresRowQuery::now(TimedTable table) {
    QIAO_CO_TRY(const auto* const description, co_await known(table));
    const bool zoned = description->stamp == Known::Stamp::Zoned;
    std::vector<Parameter> parameters{Parameter::of_text(zoned ? "UTC" : zone_)};
    // A prepared transaction is known by the time when it was prepared only.
    auto sql = fmt::format(
        "SELECT to_char(t AT TIME ZONE $1, {0}), (extract(epoch FROM t) * 1000000)::bigint,"
        " (SELECT to_char(min(began) AT TIME ZONE $1, {0}) FROM ("
        "SELECT xact_start FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend' UNION ALL "
        "SELECT prepared FROM pg_prepared_xacts WHERE database = current_database()"
        ") AS o(began)),"
        " pg_is_in_recovery() OR NOT pg_has_role('pg_read_all_stats', 'MEMBER')"
        " FROM clock_timestamp() AS t",
        kStampFormat
    );
    QIAO_CO_TRY(
        const auto rows, co_await connection_->query(std::move(sql), std::move(parameters))
    );
    SourceNow now;
    now.stamp = rows.text(0, 0);
    now.wall.us = static_cast<int64_t>(rows.number(0, 1));
    now.oldest_open = rows.text(0, 2);
    now.blind = rows.flag(0, 3);
    now.whole_days = description->stamp == Known::Stamp::Date;
    co_return now;
}

/// The stamp's column as it compares with bound(): byte order is the order of time only in the
/// collation that compares bytes.
std::string PostgresRowQuery::comparable(const Known& known, const std::string& column) {
    const bool text = known.stamp == Known::Stamp::Text;
    return quote_identifier(column) + (text ? "::text COLLATE \"C\"" : "");
}

std::string PostgresRowQuery::page_sql(
    const Known& known, const TimedTable& table, const RowWindow& window
) {
    const auto stamp = comparable(known, table.stamp);
    std::string columns;
    for (const auto& column : known.schema.columns) {
        columns += ", " + quote_identifier(column.name);
    }
    auto condition = fmt::format("{} <= {}", stamp, bound(known, "$1"));
    size_t next = 2;
    if (!window.from.empty()) {
        condition += fmt::format(" AND {} >= {}", stamp, bound(known, fmt::format("${}", next++)));
    }
    std::string keys;
    std::string values;
    for (size_t i = 0; i < known.keys.size(); ++i) {
        const auto& type = known.schema.columns[*known.schema.find_column(known.keys[i])].type;
        keys += ", " + quote_identifier(known.keys[i]);
        values += fmt::format(", ${}::{}", next + 1 + i, quote_type(type));
    }
    if (window.after) {
        const auto place = bound(known, fmt::format("${}", next));
        condition += fmt::format(" AND ({}{}) > ({}{})", stamp, keys, place, values);
    }
    return fmt::format(
        "SELECT {}{} FROM {} WHERE {} ORDER BY {}{} LIMIT {}",
        stamp_text(known, table.stamp),
        columns,
        quote_table(table.table),
        condition,
        stamp,
        keys,
        window.limit
    );
}

Task<Result<size_t>> PostgresRowQuery::read(
    TimedTable table, RowWindow window, const Visit& visit, StopSignal& stop
) {
    if (stop.requested()) {
        co_return Error(ErrorCode::Cancelled);
    }
    QIAO_CO_TRY(const auto* const description, co_await known(table));
    const bool text = description->stamp == Known::Stamp::Text;
    std::vector<Parameter> parameters{Parameter::of_text(window.to)};
    if (!window.from.empty()) {
        // A text stamp may be cut to seconds: the bound must not be longer.
        const auto from = text ? window.from.substr(0, kSecondsLength) : window.from;
        parameters.push_back(Parameter::of_text(from));
    }
    if (window.after) {
        parameters.push_back(Parameter::of_text(window.after->stamp));
        for (const auto& key : window.after->keys) {
            parameters.push_back(Parameter::of_text(key));
        }
    }
    auto sql = page_sql(*description, table, window);
    QIAO_CO_TRY(
        const auto rows, co_await connection_->query(std::move(sql), std::move(parameters))
    );
    const auto width = description->schema.columns.size();
    for (size_t row = 0; row < rows.size(); ++row) {
        model::TupleBuilder builder(static_cast<uint16_t>(width));
        for (size_t column = 1; column <= width; ++column) {
            if (rows.is_null(row, column)) {
                builder.null();
            } else {
                builder.text(rows.text(row, column));
            }
        }
        const auto bytes = std::move(builder).take();
        QIAO_CO_TRY(const auto tuple, model::Tuple::parse(bytes));
        visit(rows.text(row, 0), tuple);
    }
    co_return rows.size();
}

Task<Result<TimedFacts>> PostgresRowQuery::glance(TimedTable table) {
    TimedFacts facts;
    QIAO_CO_TRY(const auto* const description, co_await known(table));
    facts.stamp_is_time = description->stamp != Known::Stamp::Other;
    facts.is_view = description->table.kind == RelationKind::View ||
                    description->table.kind == RelationKind::MaterializedView;
    const auto is_key = [description](const KeyFacts& key) {
        return same_columns(key.columns, description->keys);
    };
    facts.keys_unique_by_index = std::ranges::any_of(description->table.keys, is_key);
    std::vector<Parameter> parameters{
        Parameter::of_text(std::to_string(description->table.oid)), Parameter::of_text(table.stamp)
    };
    QIAO_CO_TRY(
        const auto indexed,
        co_await connection_->query(
            "SELECT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid"
            " AND a.attnum = i.indkey[0] WHERE i.indrelid = $1::oid AND a.attname = $2"
            " AND i.indisvalid AND i.indpred IS NULL)",
            std::move(parameters)
        )
    );
    facts.stamp_indexed = indexed.flag(0, 0);
    co_return facts;
}

Task<Result<TimedFacts>> PostgresRowQuery::probe(TimedTable table) {
    QIAO_CO_TRY(auto facts, co_await glance(table));
    QIAO_CO_TRY(const auto* const description, co_await known(table));
    if (facts.stamp_is_time && !description->keys.empty()) {
        QIAO_CO_CHECK(co_await probe_rows(*description, table, facts));
    }
    co_return facts;
}

Task<Status> PostgresRowQuery::probe_rows(
    const Known& description, TimedTable table, TimedFacts& facts
) {
    QIAO_CO_TRY(const auto time, co_await now(table));
    const auto stamp = quote_identifier(table.stamp);
    const bool text = description.stamp == Known::Stamp::Text;
    const auto malformed =
        text ? fmt::format("count(*) FILTER (WHERE {} !~ {})", stamp, kStampPattern) : "0";
    std::string null_key;
    for (const auto& key : description.keys) {
        null_key += (null_key.empty() ? "" : " OR ") + quote_identifier(key) + " IS NULL";
    }
    auto sql = fmt::format(
        "SELECT count(*), count(*) FILTER (WHERE {0} IS NULL), {1},"
        " count(*) FILTER (WHERE {2} > {3}), count(*) FILTER (WHERE {4}),"
        " (SELECT count(*) FROM (SELECT FROM {5} GROUP BY {6} HAVING count(*) > 1) AS r) FROM {5}",
        stamp,
        malformed,
        comparable(description, table.stamp),
        bound(description, "$1"),
        null_key,
        quote_table(table.table),
        list(description.keys)
    );
    std::vector<Parameter> parameters{Parameter::of_text(time.stamp)};
    QIAO_CO_TRY(
        const auto rows, co_await connection_->query(std::move(sql), std::move(parameters))
    );
    facts.rows = rows.number(0, 0);
    facts.stamps_null = rows.number(0, 1);
    facts.stamps_malformed = rows.number(0, 2);
    facts.stamps_future = rows.number(0, 3);
    facts.keys_null = rows.number(0, 4);
    facts.keys_repeated = rows.number(0, 5);
    co_return Status{};
}

std::unique_ptr<RowDatabase> make_row_database(
    Runtime runtime, DataSourceUrl url, RowQueryOptions options, StopSignal& stop
) {
    return std::make_unique<PostgresRowDatabase>(runtime, std::move(url), std::move(options), stop);
}

}  // namespace qiao::drivers::postgres
