#include "qiao/drivers/postgres/internal/own_tables.h"
#include "qiao/drivers/postgres/internal/postgres_target_session.h"
#include "qiao/drivers/postgres/internal/statement_pipeline.h"

#include <fmt/format.h>

namespace qiao::drivers::postgres::internal {
namespace {

Parameter position(const model::SourcePosition& position) {
    return Parameter::of_bytes(position.encode());
}

Parameter readable(const model::SourcePosition& position) {
    return Parameter::of_text(position.to_string());
}

Result<model::SourcePosition> read_position(std::string_view text) {
    return model::SourcePosition::decode(ByteView(bytea(text)));
}

constexpr std::string_view kColumns = "epoch, sequence, position, digest, owner";

Result<CheckpointRow> read_checkpoint(const Rows& rows) {
    CheckpointRow row;
    row.point.epoch.value = rows.number(0, 0);
    row.point.sequence.value = rows.number(0, 1);
    QIAO_TRY(row.position, read_position(rows.text(0, 2)));
    row.digest = Digest::from(bytea(rows.text(0, 3)));
    row.owner = Incarnation::from(bytea(rows.text(0, 4)));
    return row;
}

void add_checkpoint(std::vector<Parameter>& parameters, const CheckpointRow& row) {
    parameters.push_back(number_parameter(row.point.epoch.value));
    parameters.push_back(number_parameter(row.point.sequence.value));
    parameters.push_back(position(row.position));
    parameters.push_back(Parameter::of_bytes(row.digest.view()));
    parameters.push_back(Parameter::of_bytes(row.owner.view()));
}

Error fenced(StreamId stream, std::string_view what) {
    return {ErrorCode::ApplyFenced, fmt::format("stream {}: {}", stream.to_string(), what)};
}

}  // namespace

Task<Result<CheckpointRow>> PostgresTargetSession::claim(StreamId stream, Incarnation owner) {
    auto parameters = parameters_of(stream);
    parameters.push_back(Parameter::of_bytes(owner.view()));
    parameters.push_back(position({}));
    parameters.push_back(readable({}));
    parameters.push_back(Parameter::of_bytes(Digest{}.view()));
    const auto sql = fmt::format(
        "INSERT INTO qiao.checkpoint AS c (stream, epoch, sequence, position, position_text, "
        "digest, "
        "owner) VALUES ($1, 0, 0, $3, $4, $5, $2) ON CONFLICT (stream) DO UPDATE SET "
        "owner = excluded.owner, updated_at = clock_timestamp() RETURNING {}",
        kColumns
    );
    // A claim that a crash of the server could undo would give the stream back to the owner before.
    QIAO_CO_CHECK(co_await connection_->execute("BEGIN; SET LOCAL synchronous_commit = on"));
    const auto rows = co_await connection_->query(sql, std::move(parameters));
    if (!rows) {
        if (connection_->alive()) {
            (void)co_await connection_->execute("ROLLBACK");
        }
        co_return rows.error();
    }
    QIAO_CO_CHECK(co_await connection_->execute("COMMIT"));
    co_return read_checkpoint(*rows);
}

Task<Result<std::optional<CheckpointRow>>> PostgresTargetSession::checkpoint(StreamId stream) {
    const auto sql = fmt::format("SELECT {} FROM qiao.checkpoint WHERE stream = $1", kColumns);
    QIAO_CO_TRY(const auto rows, co_await connection_->query(sql, parameters_of(stream)));
    if (rows.size() == 0) {
        co_return std::optional<CheckpointRow>();
    }
    QIAO_CO_TRY(auto row, read_checkpoint(rows));
    co_return std::optional(std::move(row));
}

namespace {

/// The count of interventions, if it is the row that is expected.
Result<uint64_t> locked(StreamId stream, const CheckpointRow& expected, const Rows& rows) {
    if (rows.size() == 0) {
        return fenced(stream, "its checkpoint is gone");
    }
    QIAO_TRY(const auto found, read_checkpoint(rows));
    if (found != expected) {
        return fenced(
            stream,
            fmt::format(
                "owner {} at {}/{}, expected {} at {}/{}",
                found.owner.to_string(),
                found.point.epoch.value,
                found.point.sequence.value,
                expected.owner.to_string(),
                expected.point.epoch.value,
                expected.point.sequence.value
            )
        );
    }
    constexpr size_t kInterventions = 5;
    return rows.number(0, kInterventions);
}

std::string lock_sql() {
    return fmt::format(
        "SELECT {}, interventions FROM qiao.checkpoint WHERE stream = $1 FOR UPDATE", kColumns
    );
}

std::vector<Parameter> advance_parameters(
    StreamId stream, const CheckpointRow& from, const CheckpointRow& to
) {
    auto parameters = parameters_of(stream);
    add_checkpoint(parameters, from);
    add_checkpoint(parameters, to);
    parameters.push_back(readable(to.position));
    return parameters;
}

constexpr const char* kAdvance =
    "UPDATE qiao.checkpoint SET epoch = $7, sequence = $8, position = $9, digest = $10, "
    "owner = $11, position_text = $12, updated_at = clock_timestamp() WHERE stream = $1 "
    "AND epoch = $2 AND sequence = $3 AND position = $4 AND digest = $5 AND owner = $6";

Error moved(StreamId stream) {
    return fenced(stream, "its checkpoint was moved by another process");
}

}  // namespace

Task<Result<uint64_t>> PostgresTargetSession::lock_checkpoint(
    StreamId stream, CheckpointRow expected
) {
    QIAO_CO_TRY(
        const auto rows, co_await connection_->query_prepared(lock_sql(), parameters_of(stream))
    );
    co_return locked(stream, expected, rows);
}

Task<Result<uint64_t>> PostgresTargetSession::begin_locked(
    std::string passed, StreamId stream, CheckpointRow expected
) {
    deferred_ = false;
    StatementPipeline pipeline(*connection_, statements_);
    QIAO_CO_CHECK(co_await pipeline.add("BEGIN"));
    if (const auto mark = origin_mark(passed); !mark.empty()) {
        QIAO_CO_CHECK(co_await pipeline.add(mark));
    }
    const auto parameters = parameters_of(stream);
    QIAO_CO_CHECK(
        co_await pipeline.add("lock", lock_sql(), StatementPipeline::Value::of(parameters))
    );
    QIAO_CO_TRY(const auto told, co_await pipeline.finish());
    if (told.failure) {
        co_return *told.failure;
    }
    co_return locked(stream, expected, told.results.back());
}

Task<Status> PostgresTargetSession::intervene(StreamId stream) {
    QIAO_CO_TRY(
        const auto rows,
        co_await connection_->query(
            "UPDATE qiao.checkpoint SET interventions = interventions + 1 WHERE stream = $1",
            parameters_of(stream)
        )
    );
    if (rows.affected() != 1) {
        co_return Error(ErrorCode::ApplyNoStream, stream.to_string());
    }
    co_return Status{};
}

Task<Status> PostgresTargetSession::advance(StreamId stream, CheckpointRow from, CheckpointRow to) {
    QIAO_CO_TRY(
        const auto rows,
        co_await connection_->query_prepared(kAdvance, advance_parameters(stream, from, to))
    );
    if (rows.affected() != 1) {
        co_return moved(stream);
    }
    co_return Status{};
}

Task<CommitOutcome> PostgresTargetSession::advance_and_commit(
    StreamId stream, CheckpointRow from, CheckpointRow to
) {
    co_return ended(co_await send_advance_and_commit(stream, std::move(from), std::move(to)));
}

/// A checkpoint that does not move ends the transaction: the server does not come to the COMMIT.
Task<CommitOutcome> PostgresTargetSession::send_advance_and_commit(
    StreamId stream, CheckpointRow from, CheckpointRow to
) {
    using Kind = CommitOutcome::Kind;
    if (!connection_->alive()) {
        co_return CommitOutcome{Kind::Failed, Error(ErrorCode::DbLost, "before COMMIT")};
    }
    static const auto kSql =
        fmt::format("WITH moved AS ({} RETURNING 1) SELECT 1 / count(*) FROM moved", kAdvance);
    constexpr std::string_view kDivisionByZero = "SQLSTATE 22012";
    StatementPipeline pipeline(*connection_, statements_);
    const auto parameters = advance_parameters(stream, from, to);
    auto sent = co_await pipeline.add("advance", kSql, StatementPipeline::Value::of(parameters));
    if (sent) {
        sent = co_await pipeline.add("COMMIT");
    }
    if (!sent) {
        co_return CommitOutcome{Kind::Unknown, sent.error()};
    }
    const auto told = co_await pipeline.finish();
    if (!told) {
        co_return CommitOutcome{Kind::Unknown, told.error()};
    }
    if (told->failure && told->results.empty() &&
        told->failure->detail().ends_with(kDivisionByZero)) {
        co_return CommitOutcome{Kind::Failed, moved(stream)};
    }
    if (told->failure) {
        // A server that says good-bye does not say whether it has come to the COMMIT.
        const bool answered = connection_->alive() && !told->failure->is(ErrorCode::DbLost);
        co_return CommitOutcome{answered ? Kind::Failed : Kind::Unknown, *told->failure};
    }
    if (told->results.back().command() != "COMMIT") {
        co_return CommitOutcome{
            Kind::Failed, Error(ErrorCode::DbStatement, "COMMIT of a failed transaction")
        };
    }
    co_return CommitOutcome{};
}

namespace {

/// What of qiao.table_state `t` is read. By those, too, who find a table that lacks a column yet.
constexpr std::string_view kStateColumns =
    "schema_name, table_name, generation, status, joined_at, note, "
    "coalesce(to_jsonb(t) ->> 'doubted_at', '\\x0000000000')";

Result<TableState> read_state(const Rows& rows, size_t row) {
    TableState state;
    state.table = {std::string(rows.text(row, 0)), std::string(rows.text(row, 1))};
    state.generation = static_cast<uint32_t>(rows.number(row, 2));
    const auto status = rows.number(row, 3);
    if (status > static_cast<uint64_t>(TableStatus::ResyncAsked)) {
        return Error(ErrorCode::PacketTooNew, "qiao.table_state: status of a later version");
    }
    state.status = static_cast<TableStatus>(status);
    QIAO_TRY(state.joined_at, read_position(rows.text(row, 4)));
    state.note = rows.text(row, 5);
    constexpr size_t kDoubtedAt = 6;
    QIAO_TRY(state.doubted_at, read_position(rows.text(row, kDoubtedAt)));
    return state;
}

}  // namespace

Task<Result<std::vector<TableState>>> PostgresTargetSession::table_states(StreamId stream) {
    QIAO_CO_TRY(
        const auto rows,
        co_await connection_->query(
            fmt::format(
                "SELECT {} FROM qiao.table_state t WHERE stream = $1 ORDER BY 1, 2", kStateColumns
            ),
            parameters_of(stream)
        )
    );
    std::vector<TableState> states;
    for (size_t i = 0; i < rows.size(); ++i) {
        QIAO_CO_TRY(auto state, read_state(rows, i));
        states.push_back(std::move(state));
    }
    co_return states;
}

Task<Result<std::optional<TableState>>> PostgresTargetSession::table_state(
    StreamId stream, model::TableName table
) {
    auto parameters = parameters_of(stream);
    parameters.push_back(Parameter::of_text(std::move(table.schema)));
    parameters.push_back(Parameter::of_text(std::move(table.name)));
    QIAO_CO_TRY(
        const auto rows,
        co_await connection_->query(
            fmt::format(
                "SELECT {} FROM qiao.table_state t "
                "WHERE stream = $1 AND schema_name = $2 AND table_name = $3",
                kStateColumns
            ),
            std::move(parameters)
        )
    );
    if (rows.size() == 0) {
        co_return std::nullopt;
    }
    co_return read_state(rows, 0);
}

Task<Status> PostgresTargetSession::save_table_state(StreamId stream, TableState state) {
    auto parameters = parameters_of(stream);
    add_table(parameters, state.table);
    parameters.push_back(number_parameter(state.generation));
    parameters.push_back(number_parameter(static_cast<uint64_t>(state.status)));
    parameters.push_back(position(state.joined_at));
    parameters.push_back(readable(state.joined_at));
    parameters.push_back(Parameter::of_text(state.note));
    parameters.push_back(position(state.doubted_at));
    QIAO_CO_TRY(
        const auto rows,
        co_await connection_->query_prepared(
            "INSERT INTO qiao.table_state (stream, schema_name, table_name, generation, status, "
            "joined_at, joined_at_text, note, doubted_at) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) "
            "ON CONFLICT (stream, schema_name, table_name) DO UPDATE SET "
            "generation = excluded.generation, status = excluded.status, "
            "joined_at = excluded.joined_at, joined_at_text = excluded.joined_at_text, "
            "note = excluded.note, doubted_at = excluded.doubted_at, "
            "updated_at = clock_timestamp()",
            std::move(parameters)
        )
    );
    co_return Status{};
}

Task<Result<std::vector<model::TableSchema>>> PostgresTargetSession::schemas(StreamId stream) {
    QIAO_CO_TRY(
        const auto rows,
        co_await connection_->query(
            "SELECT definition FROM qiao.table_schema WHERE stream = $1 ORDER BY saved_at, id",
            parameters_of(stream)
        )
    );
    std::vector<model::TableSchema> schemas;
    for (size_t i = 0; i < rows.size(); ++i) {
        QIAO_CO_TRY(auto schema, model::TableSchema::decode(bytea(rows.text(i, 0))));
        schemas.push_back(std::move(schema));
    }
    co_return schemas;
}

Task<Status> PostgresTargetSession::save_schema(StreamId stream, model::TableSchema schema) {
    auto parameters = parameters_of(stream);
    const auto id = schema.id();
    parameters.push_back(Parameter::of_bytes(id.view()));
    add_table(parameters, schema.table);
    parameters.push_back(Parameter::of_bytes(schema.encode()));
    QIAO_CO_TRY(
        const auto rows,
        co_await connection_->query_prepared(
            "INSERT INTO qiao.table_schema (stream, id, schema_name, table_name, definition) "
            "VALUES ($1, $2, $3, $4, $5) ON CONFLICT (stream, id) DO UPDATE SET "
            "saved_at = clock_timestamp()",
            std::move(parameters)
        )
    );
    co_return Status{};
}

}  // namespace qiao::drivers::postgres::internal
