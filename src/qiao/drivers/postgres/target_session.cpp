#include "qiao/drivers/postgres/target_session.h"

#include "qiao/drivers/postgres/internal/own_tables.h"
#include "qiao/drivers/postgres/internal/postgres_target_session.h"

#include <fmt/format.h>

namespace qiao::drivers::postgres {
namespace {

constexpr int kParameterPrivileges = 150000;

Task<Status> switch_triggers_off(Connection& connection, TargetOptions::Triggers wanted) {
    std::string allowed = "(SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)";
    if (connection.server_version() >= kParameterPrivileges) {
        allowed += " OR has_parameter_privilege('session_replication_role', 'SET')";
    }
    if (wanted == TargetOptions::Triggers::Off) {
        allowed = "true";
    }
    const auto rows = co_await connection.query(fmt::format(
        "SELECT set_config('session_replication_role', 'replica', false) WHERE {}", allowed
    ));
    if (!rows) {
        co_return rows.error();
    }
    co_return Status{};
}

}  // namespace

PostgresTarget::PostgresTarget(
    Runtime runtime, DataSourceUrl url, TargetOptions options, StopSignal& stop
)
    : runtime_(runtime),
      url_(std::move(url)),
      options_(std::move(options)),
      stop_(stop),
      row_maps_(std::make_shared<internal::RowMaps>(options_.row_map_bytes)) {}

RowMapFigures PostgresTarget::row_maps() const { return row_maps_->figures(); }

Task<Result<std::unique_ptr<TargetSession>>> PostgresTarget::connect() {
    ConnectOptions connect;
    connect.application_name = options_.application_name;
    connect.connect_timeout = options_.connect_timeout;
    connect.settings = target_settings();
    connect.settings.emplace_back("synchronous_commit", options_.synchronous_commit ? "on" : "off");
    QIAO_CO_TRY(
        auto connection, co_await Connection::open(runtime_, url_, std::move(connect), stop_)
    );
    if (options_.triggers != TargetOptions::Triggers::On) {
        QIAO_CO_CHECK(co_await switch_triggers_off(*connection, options_.triggers));
    }
    co_return std::make_unique<internal::PostgresTargetSession>(
        std::move(connection), options_, row_maps_
    );
}

namespace internal {

Task<Status> PostgresTargetSession::prepare() { return make_own_tables(*connection_); }

Task<Result<const TargetRelation*>> PostgresTargetSession::relation(model::TableName table) {
    if (const auto known = relations_.find(table); known != relations_.end()) {
        co_return known->second.get();
    }
    QIAO_CO_TRY(auto fresh, co_await read_target_relation(*connection_, table));
    auto& place = relations_[table];
    place = std::make_unique<TargetRelation>(std::move(fresh));
    co_return place.get();
}

Task<Result<TargetTable>> PostgresTargetSession::describe(model::TableName table) {
    uint32_t before = 0;
    if (const auto known = relations_.find(table); known != relations_.end()) {
        before = known->second->catalogue.oid;
        statements_.forget_table(before);
        relations_.erase(known);
    }
    QIAO_CO_TRY(const auto* const fresh, co_await relation(std::move(table)));
    if (before != fresh->catalogue.oid) {
        journal_.maps().drop(before);
    }
    co_return fresh->table;
}

Task<Result<bool>> PostgresTargetSession::is_empty(model::TableName table) {
    const auto sql = fmt::format("SELECT NOT EXISTS (SELECT FROM {})", quote_table(table));
    QIAO_CO_TRY(const auto rows, co_await connection_->query(sql));
    co_return rows.flag(0, 0);
}

Task<Status> PostgresTargetSession::begin(std::string passed) {
    deferred_ = false;
    const auto mark = origin_mark(passed);
    return connection_->execute(mark.empty() ? "BEGIN" : "BEGIN; " + mark);
}

/// First of all in a transaction, so that a capture of this database knows it by that (rules 16).
std::string PostgresTargetSession::origin_mark(const std::string& passed) const {
    const auto& source = options_.origin_path;
    if (source.empty()) {
        return {};
    }
    return fmt::format(
        "SELECT pg_logical_emit_message(true, 'qiao.origin', {})",
        quote_literal(passed.empty() ? source : passed + "," + source)
    );
}

Task<CommitOutcome> PostgresTargetSession::commit() { co_return ended(co_await send_commit()); }

CommitOutcome PostgresTargetSession::ended(CommitOutcome outcome) {
    using Kind = CommitOutcome::Kind;
    if (outcome.kind == Kind::Committed) {
        journal_.commit();
    } else if (outcome.kind == Kind::Failed) {
        journal_.rollback();
    } else {
        journal_.forget();
    }
    return outcome;
}

Task<CommitOutcome> PostgresTargetSession::send_commit() {
    using Kind = CommitOutcome::Kind;
    if (!connection_->alive()) {
        // Nothing was sent, and a transaction ends with its session.
        co_return CommitOutcome{Kind::Failed, Error(ErrorCode::DbLost, "before COMMIT")};
    }
    const auto done = co_await connection_->query("COMMIT");
    if (done) {
        if (done->command() == "COMMIT") {
            co_return CommitOutcome{};
        }
        co_return CommitOutcome{
            Kind::Failed, Error(ErrorCode::DbStatement, "COMMIT of a failed transaction")
        };
    }
    const auto& error = done.error();
    const bool answered = connection_->alive() && !error.is(ErrorCode::DbLost);
    co_return CommitOutcome{answered ? Kind::Failed : Kind::Unknown, error};
}

// What the maps have learned is undone whether or not the server hears of it: they are hints.

Task<Status> PostgresTargetSession::rollback() {
    journal_.rollback();
    return connection_->execute("ROLLBACK");
}

Task<Status> PostgresTargetSession::savepoint() {
    journal_.savepoint();
    return connection_->execute("SAVEPOINT qiao");
}

Task<Status> PostgresTargetSession::rollback_to_savepoint() {
    journal_.rollback_to_savepoint();
    return connection_->execute("ROLLBACK TO SAVEPOINT qiao");
}

Task<Status> PostgresTargetSession::release_savepoint() {
    journal_.release_savepoint();
    return connection_->execute("RELEASE SAVEPOINT qiao");
}

Task<Status> PostgresTargetSession::truncate(
    std::vector<model::TableName> tables, bool restart_identity
) {
    std::string list;
    for (const auto& table : tables) {
        QIAO_CO_TRY(const auto* const known, co_await relation(table));
        deferred_ = deferred_ || known->deferrable;
        journal_.maps().drop(known->catalogue.oid);
        list += (list.empty() ? "" : ", ") + known->only();
    }
    const auto sql = fmt::format(
        "TRUNCATE {} {} IDENTITY RESTRICT", list, restart_identity ? "RESTART" : "CONTINUE"
    );
    auto done = co_await connection_->execute(sql);
    // "cannot truncate a table referenced in a foreign key constraint" has no class of its own.
    if (!done && done.error().detail().ends_with("SQLSTATE 0A000")) {
        co_return Error(ErrorCode::DbConstraint, done.error().detail());
    }
    co_return done;
}

Task<Status> PostgresTargetSession::delete_all(model::TableName table) {
    QIAO_CO_TRY(const auto* const known, co_await relation(std::move(table)));
    deferred_ = deferred_ || known->deferrable;
    journal_.maps().drop(known->catalogue.oid);
    co_return co_await connection_->execute("DELETE FROM " + known->only());
}

Result<WriteResult> PostgresTargetSession::outcome_of(Error error) {
    if (!connection_->alive() || error.is(ErrorCode::DbLost)) {
        return error;
    }
    WriteResult result;
    result.failure = WriteResult::Failure{std::nullopt, std::move(error)};
    return result;
}

Task<Result<WriteResult>> PostgresTargetSession::check_constraints() {
    if (!deferred_) {
        co_return WriteResult{};
    }
    const auto done = co_await connection_->execute("SET CONSTRAINTS ALL IMMEDIATE");
    co_return done ? Result<WriteResult>(WriteResult{}) : outcome_of(done.error());
}

}  // namespace internal
}  // namespace qiao::drivers::postgres
