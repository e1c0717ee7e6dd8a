#include "qiao/drivers/postgres/sequences.h"

#include "qiao/drivers/postgres/structure/read.h"

#include <fmt/format.h>

#include <charconv>

namespace qiao::drivers::postgres {
namespace {

/// Of column `a` of table `c`: what it owns, and what its default takes numbers from.
constexpr std::string_view kUsed =
    "(SELECT d.objid AS seq FROM pg_catalog.pg_depend d"
    " WHERE d.classid = 'pg_catalog.pg_class'::regclass"
    " AND d.refclassid = 'pg_catalog.pg_class'::regclass"
    " AND d.refobjid = c.oid AND d.refobjsubid = a.attnum AND d.deptype IN ('a', 'i')"
    " UNION SELECT d.refobjid FROM pg_catalog.pg_attrdef f JOIN pg_catalog.pg_depend d"
    " ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.objid = f.oid"
    " AND d.refclassid = 'pg_catalog.pg_class'::regclass"
    " WHERE f.adrelid = c.oid AND f.adnum = a.attnum) u"
    " JOIN pg_catalog.pg_sequence p ON p.seqrelid = u.seq";

constexpr std::string_view kColumns =
    "pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
    " AND NOT a.attisdropped CROSS JOIN LATERAL ";

std::string read_statement() {
    return fmt::format(
        "SELECT n.nspname, c.relname, a.attname, p.seqrelid::regclass::text,"
        " pg_catalog.has_sequence_privilege(p.seqrelid, 'SELECT, USAGE'),"
        " CASE WHEN pg_catalog.has_sequence_privilege(p.seqrelid, 'SELECT, USAGE')"
        " THEN pg_catalog.pg_sequence_last_value(p.seqrelid) END"
        " FROM unnest($1::text[], $2::text[]) AS t(schema, name), {}{}"
        " WHERE n.nspname = t.schema AND c.relname = t.name ORDER BY 1, 2, 3, 4",
        kColumns,
        kUsed
    );
}

/// Only forward: a target that has gone on by itself is not set back.
std::string advance_statement() {
    return fmt::format(
        "SELECT pg_catalog.setval(q.seq::regclass, $4::bigint, true) FROM"
        " (SELECT DISTINCT u.seq, p.seqincrement AS step FROM {}{}"
        " WHERE n.nspname = $1 AND c.relname = $2 AND a.attname = $3) q"
        " WHERE coalesce(CASE WHEN q.step > 0"
        " THEN pg_catalog.pg_sequence_last_value(q.seq) < $4::bigint"
        " ELSE pg_catalog.pg_sequence_last_value(q.seq) > $4::bigint END, true)",
        kColumns,
        kUsed
    );
}

int64_t number_of(std::string_view text) {
    int64_t number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

std::string target_column(
    const model::Mapping& names, const model::TableName& table, const std::string& column
) {
    const auto renamed = names.tables().find(table);
    if (renamed == names.tables().end()) {
        return column;
    }
    const auto found = renamed->second.columns.find(column);
    return found == renamed->second.columns.end() ? column : found->second;
}

}  // namespace

Task<Result<SequenceValues>> read_sequences(
    Connection& source, const std::vector<model::TableName>& tables, const model::Mapping& names
) {
    auto parameters = structure::name_arrays(tables);
    QIAO_CO_TRY(const auto rows, co_await source.query(read_statement(), std::move(parameters)));
    SequenceValues found;
    for (size_t row = 0; row < rows.size(); ++row) {
        const model::TableName table{
            std::string(rows.text(row, 0)), std::string(rows.text(row, 1))
        };
        const std::string column(rows.text(row, 2));
        std::string sequence(rows.text(row, 3));
        if (!rows.flag(row, 4)) {
            found.left_out.push_back(
                {sequence, "sequence value", "the source's user may not read it", "源端用户无权读取"
                }
            );
        } else if (!rows.is_null(row, 5)) {
            found.values.push_back(
                {names.target_of(table),
                 target_column(names, table, column),
                 std::move(sequence),
                 number_of(rows.text(row, 5))}
            );
        }
    }
    co_return found;
}

Task<Result<CreateReport>> advance_sequences(
    Connection& target, const std::vector<SequenceValue>& values
) {
    CreateReport report;
    const auto sql = advance_statement();
    for (const auto& value : values) {
        const auto label = "sequence value " + value.sequence;
        std::vector<Parameter> parameters;
        for (const auto& text :
             {value.table.schema, value.table.name, value.column, std::to_string(value.last)}) {
            parameters.push_back(Parameter::of_text(text));
        }
        const auto done = co_await target.query_prepared(sql, std::move(parameters));
        if (done) {
            report.made.push_back(label);
        } else if (!target.alive()) {
            co_return done.error().within(label);
        } else {
            report.failed.push_back({label, sql, done.error().to_string()});
        }
    }
    co_return report;
}

}  // namespace qiao::drivers::postgres
