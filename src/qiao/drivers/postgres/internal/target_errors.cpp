#include "qiao/drivers/postgres/internal/own_tables.h"
#include "qiao/drivers/postgres/internal/postgres_target_session.h"

#include <fmt/format.h>

// What is laid aside of a stream: the table qiao.error_row.
namespace qiao::drivers::postgres::internal {
namespace {

constexpr uint32_t kTextArray = 1009;
constexpr uint32_t kNumberArray = 1016;

/// `{"a","b"}`, as the server reads a text[].
Parameter texts(const std::vector<std::string>& values) {
    std::string list = "{";
    for (const auto& value : values) {
        list += list.size() == 1 ? "\"" : ",\"";
        for (const char c : value) {
            list += c == '"' || c == '\\' ? std::string{'\\', c} : std::string(1, c);
        }
        list += '"';
    }
    auto parameter = Parameter::of_text(list + "}");
    parameter.type = kTextArray;
    return parameter;
}

Parameter numbers_list(const std::vector<uint64_t>& values) {
    auto parameter = Parameter::of_text(fmt::format("{{{}}}", fmt::join(values, ",")));
    parameter.type = kNumberArray;
    return parameter;
}

Result<ErrorRow> read_error(const Rows& rows, size_t i) {
    ErrorRow row;
    row.number = rows.number(i, 0);
    row.table = {std::string(rows.text(i, 1)), std::string(rows.text(i, 2))};
    row.key_text = rows.text(i, 3);
    row.point = {{rows.number(i, 4)}, {rows.number(i, 5)}};
    QIAO_TRY(row.position, model::SourcePosition::decode(ByteView(bytea(rows.text(i, 6)))));
    row.code = rows.text(i, 7);
    row.detail = rows.text(i, 8);
    row.sealed_change = bytea(rows.text(i, 9));
    return row;
}

/// The rows in front of which fewer bytes lie than wanted; the first one in any case.
constexpr const char* kReadErrors = R"(
SELECT number, schema_name, table_name, key_text, epoch, sequence, position, code, detail,
       sealed_change
  FROM (SELECT *, sum(octet_length(sealed_change)) OVER (ORDER BY number) AS bytes
          FROM (SELECT * FROM qiao.error_row
                 WHERE stream = $1 AND number > $2
                   AND ($3::text IS NULL OR (schema_name = $3 AND table_name = $4))
                 ORDER BY number LIMIT $5) AS first) AS summed
 WHERE bytes - octet_length(sealed_change) < $6
 ORDER BY number)";

}  // namespace

Task<Status> PostgresTargetSession::save_error(StreamId stream, ErrorRow row) {
    auto parameters = parameters_of(stream);
    add_table(parameters, row.table);
    parameters.push_back(Parameter::of_text(row.key_text));
    parameters.push_back(texts(row.keys));
    parameters.push_back(number_parameter(row.point.epoch.value));
    parameters.push_back(number_parameter(row.point.sequence.value));
    parameters.push_back(Parameter::of_bytes(row.position.encode()));
    parameters.push_back(Parameter::of_text(row.position.to_string()));
    parameters.push_back(Parameter::of_text(row.code));
    parameters.push_back(Parameter::of_text(row.detail));
    parameters.push_back(Parameter::of_bytes(row.sealed_change));
    QIAO_CO_TRY(
        const auto rows,
        co_await connection_->query(
            "INSERT INTO qiao.error_row (stream, schema_name, table_name, key_text, keys, epoch, "
            "sequence, position, position_text, code, detail, sealed_change) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            std::move(parameters)
        )
    );
    co_return Status{};
}

Task<Result<OpenErrors>> PostgresTargetSession::open_errors(StreamId stream) {
    QIAO_CO_TRY(
        const auto keys,
        co_await connection_->query(
            "SELECT DISTINCT schema_name, table_name, unnest(keys) FROM qiao.error_row "
            "WHERE stream = $1 ORDER BY 1, 2, 3",
            parameters_of(stream)
        )
    );
    QIAO_CO_TRY(
        const auto counts,
        co_await connection_->query(
            "SELECT schema_name, table_name, count(*) FROM qiao.error_row WHERE stream = $1 "
            "GROUP BY 1, 2",
            parameters_of(stream)
        )
    );
    const auto table = [](const Rows& rows, size_t i) {
        return model::TableName{std::string(rows.text(i, 0)), std::string(rows.text(i, 1))};
    };
    OpenErrors open;
    for (size_t i = 0; i < keys.size(); ++i) {
        open.keys.push_back({table(keys, i), std::string(keys.text(i, 2))});
    }
    for (size_t i = 0; i < counts.size(); ++i) {
        open.rows[table(counts, i)] = counts.number(i, 2);
    }
    co_return open;
}

Task<Result<std::vector<ErrorRow>>> PostgresTargetSession::read_errors(
    StreamId stream, ErrorRange range
) {
    auto parameters = parameters_of(stream);
    parameters.push_back(number_parameter(range.after));
    if (range.table) {
        add_table(parameters, *range.table);
    } else {
        parameters.push_back(Parameter::of_null());
        parameters.push_back(Parameter::of_null());
    }
    parameters.push_back(number_parameter(range.rows_most));
    parameters.push_back(number_parameter(range.bytes_most));
    QIAO_CO_TRY(const auto rows, co_await connection_->query(kReadErrors, std::move(parameters)));
    std::vector<ErrorRow> errors;
    for (size_t i = 0; i < rows.size(); ++i) {
        QIAO_CO_TRY(auto row, read_error(rows, i));
        errors.push_back(std::move(row));
    }
    co_return errors;
}

Task<Status> PostgresTargetSession::drop_errors(StreamId stream, std::vector<uint64_t> numbers) {
    auto parameters = parameters_of(stream);
    parameters.push_back(numbers_list(numbers));
    QIAO_CO_TRY(
        const auto rows,
        co_await connection_->query(
            "DELETE FROM qiao.error_row WHERE stream = $1 AND number = ANY ($2)",
            std::move(parameters)
        )
    );
    co_return Status{};
}

Task<Result<std::vector<std::vector<std::string>>>> PostgresTargetSession::drop_errors(
    StreamId stream, model::TableName table, std::string key
) {
    auto parameters = parameters_of(stream);
    add_table(parameters, table);
    parameters.push_back(Parameter::of_text(key));
    QIAO_CO_TRY(
        const auto rows,
        co_await connection_->query_prepared(
            "WITH dropped AS (DELETE FROM qiao.error_row WHERE stream = $1 AND schema_name = $2 "
            "AND table_name = $3 AND ($4::text = '' OR $4::text = ANY (keys)) "
            "RETURNING number, keys) "
            "SELECT u.place, u.key FROM dropped d, unnest(d.keys) WITH ORDINALITY u (key, place) "
            "WHERE $4::text <> '' ORDER BY d.number, u.place",
            std::move(parameters)
        )
    );
    std::vector<std::vector<std::string>> dropped;
    for (size_t row = 0; row < rows.size(); ++row) {
        if (rows.number(row, 0) == 1) {
            dropped.emplace_back();
        }
        dropped.back().emplace_back(rows.text(row, 1));
    }
    co_return dropped;
}

Task<Status> PostgresTargetSession::note_error(
    StreamId stream, uint64_t number_of_row, std::string code, std::string detail
) {
    auto parameters = parameters_of(stream);
    parameters.push_back(number_parameter(number_of_row));
    parameters.push_back(Parameter::of_text(code));
    parameters.push_back(Parameter::of_text(detail));
    QIAO_CO_TRY(
        const auto rows,
        co_await connection_->query(
            "UPDATE qiao.error_row SET code = $3, detail = $4 WHERE stream = $1 AND number = $2",
            std::move(parameters)
        )
    );
    co_return Status{};
}

}  // namespace qiao::drivers::postgres::internal
