#include "qiao/drivers/postgres/internal/part_condition.h"

#include "qiao/drivers/postgres/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace qiao::drivers::postgres::internal {
namespace {

/// Digits of the digest that are compared.
constexpr uint64_t kDigests = uint64_t{1} << 32U;

Result<const ColumnFacts*> find(const CatalogueTable& table, const std::string& column) {
    const auto place = table.schema.find_column(column);
    if (!place) {
        return Error(
            ErrorCode::DbNoTable,
            fmt::format("column {} of {}", column, table.schema.table.to_string())
        );
    }
    return &table.columns[*place];
}

bool is_text(const ColumnFacts& facts) {
    constexpr std::array<std::string_view, 3> kTexts{
        "pg_catalog.text", "pg_catalog.varchar", "pg_catalog.bpchar"
    };
    return std::ranges::find(kTexts, facts.base_type) != kTexts.end() ||
           facts.base_type.ends_with(".citext");
}

/// Two servers need not order text alike by their collations.
std::string_view order_of(const ColumnFacts& facts) {
    return is_text(facts) ? " COLLATE pg_catalog.\"C\"" : "";
}

std::string value_of(const ColumnFacts& facts, const std::string& text) {
    return fmt::format("{}::{}", quote_literal(text), quote_type(facts.base_type));
}

Result<std::string> sample_condition(const CatalogueTable& table, const RowSample& sample) {
    auto values = fmt::format("'{}'", sample.seed);
    for (const auto& column : sample.columns) {
        QIAO_CHECK(find(table, column));
        values += fmt::format(", t.{}::text", quote_identifier(column));
    }
    const auto below = kDigests * sample.share / RowSample::kAll;
    if (below >= kDigests) {
        return std::string("true");
    }
    return fmt::format(
        "md5(convert_to(array_to_string(ARRAY[{}], E'\\x1f', ''), 'UTF8'))"
        " COLLATE pg_catalog.\"C\" < '{:08x}'",
        values,
        below
    );
}

Result<std::string> range_condition(const CatalogueTable& table, const RowRange& range) {
    QIAO_TRY(const auto* const facts, find(table, range.column));
    const auto column = fmt::format("t.{}{}", quote_identifier(range.column), order_of(*facts));
    auto condition = column + " IS NOT NULL";
    if (range.from) {
        condition += fmt::format(" AND {} >= {}", column, value_of(*facts, *range.from));
    }
    if (range.to) {
        condition += fmt::format(" AND {} < {}", column, value_of(*facts, *range.to));
    }
    return condition;
}

/// So long ago, as a value of the column; empty for a type without a time.
std::string time_ago(const ColumnFacts& facts, Duration within, const std::string& zone) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(within);
    const auto then = fmt::format("now() - make_interval(secs => {})", seconds.count());
    auto local = fmt::format("(({}) AT TIME ZONE {})", then, quote_literal(zone));
    if (facts.base_type == "pg_catalog.timestamptz") {
        return fmt::format("({})", then);
    }
    if (facts.base_type == "pg_catalog.timestamp") {
        return local;
    }
    if (facts.base_type == "pg_catalog.date") {
        return local + "::date";
    }
    return is_text(facts) ? fmt::format("to_char({}, 'YYYY-MM-DD HH24:MI:SS')", local) : "";
}

}  // namespace

Result<std::string> part_condition(const CatalogueTable& table, const TablePart& part) {
    std::string condition = "true";
    if (part.range) {
        QIAO_TRY(const auto range, range_condition(table, *part.range));
        condition += " AND " + range;
    }
    if (part.sample) {
        QIAO_TRY(const auto sample, sample_condition(table, *part.sample));
        condition += " AND " + sample;
    }
    return condition;
}

Result<std::string> settling_query(
    const CatalogueTable& table, const RangeWanted& wanted, const std::string& zone
) {
    QIAO_TRY(const auto* const facts, find(table, wanted.range.column));
    std::string from = "NULL";
    std::string to = "NULL";
    if (wanted.within) {
        from = time_ago(*facts, *wanted.within, zone);
        if (from.empty()) {
            return Error(
                ErrorCode::DbBound,
                fmt::format("column {} has type {}", wanted.range.column, facts->base_type)
            );
        }
    } else {
        from = wanted.range.from ? value_of(*facts, *wanted.range.from) : from;
        to = wanted.range.to ? value_of(*facts, *wanted.range.to) : to;
    }
    const auto type = quote_type(facts->base_type);
    return fmt::format(
        "SELECT e.a::text, e.b::text, e.a >= e.b FROM (SELECT {}::{} AS a, {}::{} AS b) e",
        from,
        type,
        to,
        type
    );
}

Error as_bound_error(const Error& error) {
    const bool refused = error.is(ErrorCode::DbValue) || error.is(ErrorCode::DbStatement);
    return refused ? Error(ErrorCode::DbBound, error.detail()) : error;
}

}  // namespace qiao::drivers::postgres::internal
