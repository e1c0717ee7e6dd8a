#include "qiao/drivers/postgres/internal/own_tables.h"

#include "qiao/drivers/postgres/target_session.h"

#include <fmt/format.h>

#include <array>

namespace qiao::drivers::postgres {
namespace {

/// Any number of ours; the lock is only for making and dropping the tables.
constexpr int64_t kLockNumber = 0x7169616F;

/// With rows for each stream.
constexpr std::array kStreamTables = {"checkpoint", "table_state", "table_schema", "error_row"};
constexpr size_t kTableCount = kStreamTables.size() + 1;
constexpr auto kTableList = "{checkpoint,table_state,table_schema,error_row,unfinished_table}";

/// What tables that an earlier program made lack. It may go on writing them.
constexpr const char* kUpgrade =
    "ALTER TABLE qiao.table_state"
    " ADD COLUMN IF NOT EXISTS doubted_at bytea NOT NULL DEFAULT '\\x0000000000'";

/// The checkpoint is one hot row, updated in place: room in its page keeps that cheap.
constexpr const char* kMake = R"(
CREATE SCHEMA IF NOT EXISTS qiao;
COMMENT ON SCHEMA qiao IS 'Qiao: what has been applied; layout 1. See: qiao sync --drop';
CREATE TABLE IF NOT EXISTS qiao.checkpoint (
  stream bytea PRIMARY KEY,
  epoch bigint NOT NULL,
  sequence bigint NOT NULL,
  position bytea NOT NULL,
  position_text text NOT NULL,
  digest bytea NOT NULL,
  owner bytea NOT NULL,
  interventions bigint NOT NULL DEFAULT 0,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
CREATE TABLE IF NOT EXISTS qiao.table_state (
  stream bytea NOT NULL,
  schema_name text NOT NULL,
  table_name text NOT NULL,
  generation bigint NOT NULL,
  status smallint NOT NULL,
  joined_at bytea NOT NULL,
  joined_at_text text NOT NULL,
  note text NOT NULL DEFAULT '',
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (stream, schema_name, table_name)
);
CREATE TABLE IF NOT EXISTS qiao.table_schema (
  stream bytea NOT NULL,
  id bytea NOT NULL,
  schema_name text NOT NULL,
  table_name text NOT NULL,
  definition bytea NOT NULL,
  saved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (stream, id)
);
CREATE TABLE IF NOT EXISTS qiao.error_row (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  stream bytea NOT NULL,
  schema_name text NOT NULL,
  table_name text NOT NULL,
  key_text text NOT NULL,
  keys text[] NOT NULL,
  epoch bigint NOT NULL,
  sequence bigint NOT NULL,
  position bytea NOT NULL,
  position_text text NOT NULL,
  code text NOT NULL,
  detail text NOT NULL,
  sealed_change bytea NOT NULL,
  saved_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS error_row_chain
  ON qiao.error_row (stream, schema_name, table_name, number);
CREATE TABLE IF NOT EXISTS qiao.unfinished_table (
  schema_name text NOT NULL,
  table_name text NOT NULL,
  PRIMARY KEY (schema_name, table_name)
);
)";

constexpr const char* kLook = R"(
SELECT (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'qiao' AND c.relkind = 'r' AND c.relname = ANY ($1)),
       current_user,
       quote_ident(current_user), quote_ident(current_database()),
       (SELECT bool_and(has_table_privilege(c.oid, 'SELECT')
              AND has_table_privilege(c.oid, 'INSERT')
              AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))
              AND bool_and(has_schema_privilege(n.oid, 'USAGE'))
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'qiao' AND c.relkind = 'r' AND c.relname = ANY ($1)),
       EXISTS (SELECT FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
                 JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = 'qiao' AND c.relname = 'table_state'
                  AND a.attname = 'doubted_at' AND NOT a.attisdropped))";

struct Present {
    size_t tables = 0;
    bool usable = false;
    bool newest = false;   ///< nothing of kUpgrade is missing
    std::string user;      ///< quoted
    std::string database;  ///< quoted
};

Task<Result<Present>> look(Connection& connection) {
    std::vector<Parameter> parameters{Parameter::of_text(kTableList)};
    parameters.front().type = 1009;  // text[]
    QIAO_CO_TRY(const auto rows, co_await connection.query(kLook, std::move(parameters)));
    Present present;
    present.tables = rows.number(0, 0);
    present.user = rows.text(0, 2);
    present.database = rows.text(0, 3);
    present.usable = rows.flag(0, 4);
    present.newest = rows.flag(0, 5);
    co_return present;
}

Task<Status> roll_back(Connection& connection, Error why) {
    if (connection.alive()) {
        (void)co_await connection.execute("ROLLBACK");
    }
    co_return why;
}

Task<Status> in_locked_transaction(Connection& connection, std::string sql) {
    const auto whole = fmt::format(
        "BEGIN; SET LOCAL synchronous_commit = on; SELECT pg_advisory_xact_lock({}); {}; COMMIT",
        kLockNumber,
        sql
    );
    const auto done = co_await connection.execute(whole);
    if (!done) {
        co_return co_await roll_back(connection, done.error());
    }
    co_return Status{};
}

Task<Status> upgrade(Connection& connection, const Present& present) {
    if (present.newest) {
        co_return Status{};
    }
    const auto done = co_await in_locked_transaction(connection, kUpgrade);
    if (!done && done.error().is(ErrorCode::DbPrivilege)) {
        co_return Error(ErrorCode::DbPrivilege, fmt::format("{};", kUpgrade));
    }
    co_return done;
}

/// Runs after the rows are gone: each table goes when it is empty, the schema when nothing is left.
constexpr const char* kDropEmpty = R"(
DO $drop$
BEGIN
  IF NOT EXISTS (SELECT FROM qiao.checkpoint) AND NOT EXISTS (SELECT FROM qiao.table_state)
     AND NOT EXISTS (SELECT FROM qiao.table_schema) AND NOT EXISTS (SELECT FROM qiao.error_row) THEN
    DROP TABLE qiao.checkpoint, qiao.table_state, qiao.table_schema, qiao.error_row,
      qiao.unfinished_table;
    DROP SCHEMA qiao RESTRICT;
  END IF;
END $drop$)";

std::string delete_rows(const std::vector<StreamId>& streams) {
    std::string list;
    for (const auto& stream : streams) {
        list += fmt::format("{}'\\x{}'::bytea", list.empty() ? "" : ", ", stream.to_string());
    }
    std::string sql;
    for (const auto* table : kStreamTables) {
        sql += fmt::format("DELETE FROM qiao.{}", table);
        sql += list.empty() ? "; " : fmt::format(" WHERE stream IN ({}); ", list);
    }
    return sql;
}

}  // namespace

namespace internal {

Task<Status> make_own_tables(Connection& connection) {
    QIAO_CO_TRY(const auto present, co_await look(connection));
    if (present.tables == kTableCount && present.usable) {
        co_return co_await upgrade(connection, present);
    }
    if (present.tables == kTableCount) {
        co_return Error(
            ErrorCode::DbPrivilege,
            fmt::format(
                "GRANT USAGE ON SCHEMA qiao TO {0}; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL "
                "TABLES IN SCHEMA qiao TO {0};",
                present.user
            )
        );
    }
    const auto made = co_await in_locked_transaction(connection, std::string(kMake) + kUpgrade);
    if (!made && made.error().is(ErrorCode::DbPrivilege)) {
        co_return Error(
            ErrorCode::DbPrivilege,
            fmt::format("GRANT CREATE ON DATABASE {} TO {};", present.database, present.user)
        );
    }
    co_return made;
}

std::vector<Parameter> parameters_of(StreamId stream) {
    std::vector<Parameter> parameters;
    parameters.push_back(Parameter::of_bytes(stream.view()));
    return parameters;
}

void add_table(std::vector<Parameter>& parameters, const model::TableName& table) {
    parameters.push_back(Parameter::of_text(table.schema));
    parameters.push_back(Parameter::of_text(table.name));
}

Parameter number_parameter(uint64_t value) { return Parameter::of_text(std::to_string(value)); }

Bytes bytea(std::string_view text) {
    constexpr std::string_view kMark = "\\x";
    if (!text.starts_with(kMark) || text.size() % 2 != 0) {
        return {};
    }
    const auto digit = [](char c) {
        return static_cast<unsigned>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    };
    Bytes bytes;
    bytes.reserve(text.size() / 2 - 1);
    for (size_t i = kMark.size(); i < text.size(); i += 2) {
        bytes.push_back(static_cast<std::byte>(digit(text[i]) << 4U | digit(text[i + 1])));
    }
    return bytes;
}

}  // namespace internal

Task<Status> drop_traces(Connection& connection, std::vector<StreamId> streams) {
    QIAO_CO_TRY(const auto present, co_await look(connection));
    if (present.tables == 0) {
        co_return Status{};
    }
    if (present.tables != kTableCount) {
        co_return Error(ErrorCode::DbStatement, "schema qiao lacks some of Qiao's tables");
    }
    const auto done = co_await in_locked_transaction(connection, delete_rows(streams) + kDropEmpty);
    if (!done && done.error().detail().find("2BP01") != std::string::npos) {
        co_return Error(ErrorCode::DbConstraint, done.error().detail()).within("DROP SCHEMA qiao");
    }
    co_return done;
}

}  // namespace qiao::drivers::postgres
