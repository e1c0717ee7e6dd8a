#include "qiao/drivers/adoption.h"
#include "qiao/drivers/postgres/catalogue.h"
#include "qiao/drivers/postgres/internal/postgres_target_session.h"

#include <fmt/format.h>

// The statements that let a target follow a table whose shape has changed at the source.
namespace qiao::drivers::postgres::internal {
namespace {

using Kind = AdoptionStep::Kind;

/// `varchar(20)`; as the source calls it where this database does not know it.
Task<Result<std::string>> type_text(Connection& connection, model::Column column) {
    std::vector<Parameter> parameters;
    parameters.push_back(Parameter::of_text(quote_type(column.type)));
    parameters.push_back(Parameter::of_text(std::to_string(column.modifier)));
    QIAO_CO_TRY(
        const auto rows,
        co_await connection.query(
            "SELECT format_type(to_regtype($1)::oid, $2::int4)", std::move(parameters)
        )
    );
    const auto known = !rows.is_null(0, 0) && rows.text(0, 0) != "-";
    co_return known ? std::string(rows.text(0, 0)) : quote_type(column.type);
}

Task<Result<std::string>> key_constraint(Connection& connection, model::TableName table) {
    std::vector<Parameter> parameters{Parameter::of_text(quote_table(table))};
    QIAO_CO_TRY(
        const auto rows,
        co_await connection.query(
            "SELECT conname FROM pg_constraint WHERE conrelid = $1::regclass AND contype = 'p'",
            std::move(parameters)
        )
    );
    co_return rows.size() == 0 ? std::string() : std::string(rows.text(0, 0));
}

std::string list(const std::vector<std::string>& columns) {
    std::string text;
    for (const auto& column : columns) {
        text += (text.empty() ? "" : ", ") + quote_identifier(column);
    }
    return text;
}

Task<Result<std::string>> action(
    Connection& connection, model::TableName table, AdoptionStep step
) {
    const auto column = quote_identifier(step.column);
    switch (step.kind) {
        case Kind::Rename:
            co_return fmt::format("RENAME COLUMN {} TO {}", column, quote_identifier(step.to.name));
        case Kind::Add: {
            QIAO_CO_TRY(const auto type, co_await type_text(connection, step.to));
            co_return fmt::format("ADD COLUMN {} {}", column, type);
        }
        case Kind::Drop:
            co_return fmt::format("DROP COLUMN {}", column);
        case Kind::Type: {
            QIAO_CO_TRY(const auto type, co_await type_text(connection, step.to));
            co_return fmt::format("ALTER COLUMN {0} TYPE {1} USING {0}::{1}", column, type);
        }
        case Kind::Key: {
            QIAO_CO_TRY(const auto name, co_await key_constraint(connection, std::move(table)));
            const auto drop =
                name.empty() ? "" : fmt::format("DROP CONSTRAINT {}, ", quote_identifier(name));
            co_return fmt::format("{}ADD PRIMARY KEY ({})", drop, list(step.key));
        }
    }
    co_return std::string();
}

}  // namespace

Task<Result<std::vector<std::string>>> PostgresTargetSession::adoption(
    model::TableSchema before, model::TableSchema now
) {
    QIAO_CO_TRY(const auto target, co_await describe(now.table));
    std::vector<std::string> statements;
    for (const auto& step : adoption_steps(before, now, target)) {
        QIAO_CO_TRY(const auto what, co_await action(*connection_, now.table, step));
        statements.push_back(fmt::format("ALTER TABLE {} {}", quote_table(now.table), what));
    }
    co_return statements;
}

}  // namespace qiao::drivers::postgres::internal
