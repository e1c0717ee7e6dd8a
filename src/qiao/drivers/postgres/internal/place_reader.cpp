#include "qiao/drivers/postgres/internal/place_reader.h"

#include "qiao/drivers/postgres/internal/set_statement.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::drivers::postgres::internal {
namespace {

/// One result of a cursor; a row of it takes some 100 bytes here.
constexpr size_t kFetchedRows = 10'000;
/// Below it, prepared statements in a pipeline cost less than parsing one for all.
constexpr size_t kFewRows = 4;

constexpr const char* kFiles = R"(
SELECT string_agg(oid::text || ':' || coalesce(pg_relation_filenode(oid), 0)::text, ' '
                  ORDER BY oid)
  FROM (SELECT {0}::oid AS oid UNION SELECT relid::oid FROM pg_partition_tree({0}::regclass)) t)";

Parameter parameter_of(const RowParameter& value) {
    const bool binary = value.form == Form::Binary || value.column->text_is_binary;
    return {
        .type = value.column->oid,
        .null = value.form == Form::Null,
        .binary = binary,
        .bytes = to_bytes(value.bytes)
    };
}

}  // namespace

Task<Result<std::vector<uint64_t>>> PlaceReader::digests(const std::vector<RowStatement>& rows) {
    std::vector<RowStatement> old_rows;
    old_rows.reserve(rows.size());
    std::ranges::transform(rows, std::back_inserter(old_rows), digest_statement);
    std::vector<uint64_t> digests;
    digests.reserve(rows.size());
    while (digests.size() < old_rows.size()) {
        const auto rest = std::span<const RowStatement>(old_rows).subspan(digests.size());
        const auto part = rest.first(rows_of_one_set(rest));
        bool done = false;
        if (part.size() > kFewRows) {
            QIAO_CO_CHECK(co_await digests_of_set(part, digests, done));
        }
        if (!done) {
            QIAO_CO_CHECK(co_await digests_of_each(part, digests));
        }
    }
    co_return digests;
}

Task<Status> PlaceReader::digests_of_set(
    std::span<const RowStatement> rows, std::vector<uint64_t>& digests, bool& done
) {
    auto statement = make_digest_set(rows);
    if (!statement) {
        co_return Status{};
    }
    QIAO_CO_TRY(
        const auto told,
        co_await connection_.query(
            std::move(statement->sql), std::move(statement->parameters), ResultForm::Binary
        )
    );
    if (told.size() != rows.size()) {
        co_return Error(ErrorCode::DbStatement, "digests of other rows than asked for");
    }
    const auto first = digests.size();
    digests.resize(first + rows.size());
    for (size_t i = 0; i < told.size(); ++i) {
        const auto number = read_big_endian(told.text(i, 0));
        if (number == 0 || number > rows.size()) {
            co_return Error(ErrorCode::DbStatement, "digests of other rows than asked for");
        }
        digests[first + number - 1] = read_big_endian(told.text(i, 1));
    }
    done = true;
    co_return Status{};
}

Task<Status> PlaceReader::digests_of_each(
    std::span<const RowStatement> rows, std::vector<uint64_t>& digests
) {
    RowPipeline pipeline(connection_, cache_);
    const std::vector<RowStatement> each(rows.begin(), rows.end());
    QIAO_CO_TRY(auto result, co_await pipeline.run(plan_, each));
    if (result.failure) {
        co_return std::move(result.failure->error);
    }
    for (const auto& told : pipeline.told()) {
        if (!told) {
            co_return Error(ErrorCode::DbStatement, "no digest of a row");
        }
        digests.push_back(told->digest);
    }
    co_return Status{};
}

Task<Status> PlaceReader::scan(const Visit& visit) {
    auto select = fmt::format(
        "SELECT tableoid, ctid, {} FROM {}", digest_sql(plan_, ""), plan_.relation->only()
    );
    return fetch_all(std::move(select), visit);
}

Task<Status> PlaceReader::scan_for(const std::vector<uint64_t>& digests, const Visit& visit) {
    std::string list;
    for (const auto digest : digests) {
        list += fmt::format("{}{}", list.empty() ? "" : ",", static_cast<int64_t>(digest));
    }
    // OFFSET 0: one digest a row, however the join is done.
    auto select = fmt::format(
        "SELECT t.leaf, t.spot, t.digest FROM (SELECT tableoid AS leaf, ctid AS spot, {} AS digest"
        " FROM {} OFFSET 0) t JOIN (SELECT DISTINCT unnest('{{{}}}'::int8[]) AS digest) w"
        " ON w.digest = t.digest",
        digest_sql(plan_, ""),
        plan_.relation->only(),
        list
    );
    return fetch_all(std::move(select), visit);
}

/// By a cursor: a scan that has seen enough ends without an error, and so without a rollback.
Task<Status> PlaceReader::fetch_all(std::string select, const Visit& visit) {
    QIAO_CO_CHECK(co_await connection_.execute("DECLARE qiao_places NO SCROLL CURSOR FOR " + select)
    );
    const auto fetch = fmt::format("FETCH FORWARD {} FROM qiao_places", kFetchedRows);
    bool more = true;
    while (more) {
        QIAO_CO_TRY(const auto rows, co_await connection_.query(fetch, {}, ResultForm::Binary));
        more = rows.size() == kFetchedRows;
        for (size_t i = 0; i < rows.size(); ++i) {
            if (!visit(read_placed_row(rows.text(i, 0), rows.text(i, 1), rows.text(i, 2)))) {
                more = false;
                break;
            }
        }
    }
    co_return co_await connection_.execute("CLOSE qiao_places");
}

Task<Result<std::vector<Place>>> PlaceReader::lock(RowStatement row, size_t most) {
    const auto old_row = digest_statement(row);
    std::vector<Parameter> parameters;
    std::ranges::transform(old_row.parameters, std::back_inserter(parameters), parameter_of);
    const auto sql = fmt::format(
        "SELECT tableoid, ctid FROM {} WHERE {} LIMIT {} FOR UPDATE",
        plan_.relation->only(),
        row_condition(old_row),
        most
    );
    QIAO_CO_TRY(
        const auto rows, co_await connection_.query(sql, std::move(parameters), ResultForm::Binary)
    );
    std::vector<Place> places;
    for (size_t i = 0; i < rows.size(); ++i) {
        places.push_back(read_placed_row(rows.text(i, 0), rows.text(i, 1), {}).place);
    }
    co_return places;
}

Task<Result<std::string>> PlaceReader::files() {
    const auto sql = fmt::format(fmt::runtime(kFiles), plan_.relation->catalogue.oid);
    QIAO_CO_TRY(const auto rows, co_await connection_.query(sql));
    co_return std::string(rows.size() == 1 ? rows.text(0, 0) : std::string_view());
}

}  // namespace qiao::drivers::postgres::internal
