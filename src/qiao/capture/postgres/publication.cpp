#include "qiao/capture/postgres/publication.h"

#include "qiao/capture/postgres/internal/catalogue_sql.h"
#include "qiao/capture/postgres/slot.h"
#include "qiao/drivers/postgres/catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace qiao::capture::postgres {
namespace {

using drivers::postgres::Connection;
using drivers::postgres::Parameter;
using drivers::postgres::quote_identifier;
using drivers::postgres::quote_literal;

constexpr std::string_view kPublishAll = "insert, update, delete, truncate";
constexpr std::string_view kPublishInserts = "insert, truncate";

struct Publication {
    bool exists = false;
    bool right_kind = false;
    std::set<model::TableName> tables;
    std::set<model::TableName> conditional;
    std::string comment;  ///< which conditions we gave it
};

struct PublishedTable {
    model::TableName name;
    std::string where;
};

using PublishedTables = std::vector<PublishedTable>;

constexpr std::string_view kPublication =
    "SELECT p.pubinsert AND p.pubtruncate AND p.pubviaroot"
    " AND p.pubupdate = $2::bool AND p.pubdelete = $2::bool AND NOT p.puballtables,"
    " coalesce(obj_description(p.oid, 'pg_publication'), '')"
    " FROM pg_publication p WHERE p.pubname = $1";

/// A column list that somebody put on one of our tables makes it a table to add anew, as does a
/// condition that is not ours.
constexpr std::string_view kTables =
    "SELECT n.nspname, c.relname, coalesce(to_jsonb(r) ->> 'prattrs', '') <> '',"
    " coalesce(to_jsonb(r) ->> 'prqual', '') <> ''"
    " FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid"
    " JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE p.pubname = $1";

Task<Result<Publication>> read_publication(Connection& connection, std::string name, bool inserts) {
    Publication publication;
    std::vector<Parameter> kind{Parameter::of_text(name), Parameter::of_text(inserts ? "f" : "t")};
    QIAO_CO_TRY(
        const auto rows, co_await connection.query(std::string(kPublication), std::move(kind))
    );
    publication.exists = rows.size() == 1;
    publication.right_kind = publication.exists && rows.flag(0, 0);
    publication.comment = publication.exists ? std::string(rows.text(0, 1)) : "";
    std::vector<Parameter> parameters{Parameter::of_text(name)};
    QIAO_CO_TRY(
        const auto tables, co_await connection.query(std::string(kTables), std::move(parameters))
    );
    for (size_t row = 0; row < tables.size(); ++row) {
        const model::TableName table{
            std::string(tables.text(row, 0)), std::string(tables.text(row, 1))
        };
        publication.tables.insert(table);
        publication.right_kind = publication.right_kind && !tables.flag(row, 2);
        if (tables.flag(row, 3)) {
            publication.conditional.insert(table);
        }
    }
    co_return publication;
}

std::string options(bool inserts) {
    return fmt::format(
        "publish = '{}', publish_via_partition_root = true", inserts ? kPublishInserts : kPublishAll
    );
}

std::string table_list(const PublishedTables& tables) {
    std::string list;
    for (const auto& table : tables) {
        list += (list.empty() ? "TABLE ONLY " : ", ONLY ") +
                drivers::postgres::quote_table(table.name) +
                (table.where.empty() ? "" : fmt::format(" WHERE ({})", table.where));
    }
    return list;
}

std::string table_list(const std::vector<model::TableName>& tables) {
    PublishedTables plain;
    for (const auto& table : tables) {
        plain.push_back({table, ""});
    }
    return table_list(plain);
}

/// The server gives conditions back in words of its own: ours are kept beside them.
std::string comment_for(const PublishedTables& tables) {
    std::string comment;
    for (const auto& table : tables) {
        if (!table.where.empty()) {
            comment += fmt::format("{} where {}\n", table.name.to_string(), table.where);
        }
    }
    return comment;
}

/// The publication has the conditions that are wanted, of the tables that are wanted.
bool has_conditions(const Publication& now, const PublishedTables& wanted) {
    std::set<model::TableName> conditional;
    for (const auto& table : wanted) {
        if (!table.where.empty()) {
            conditional.insert(table.name);
        }
    }
    return now.conditional == conditional && now.comment == comment_for(wanted);
}

struct Difference {
    std::vector<std::string> removals;  ///< run first, so that a table can move between the two
    std::vector<std::string> additions;
};

Difference difference(
    const Publication& now, const std::string& name, const PublishedTables& wanted, bool inserts
) {
    Difference result;
    const auto quoted = quote_identifier(name);
    const bool right = now.right_kind && has_conditions(now, wanted);
    if (now.exists && !right) {
        result.removals.push_back(fmt::format("DROP PUBLICATION {}", quoted));
    }
    if (!now.exists || !right) {
        const auto tables = wanted.empty() ? "" : "FOR " + table_list(wanted) + " ";
        result.additions.push_back(
            fmt::format("CREATE PUBLICATION {} {}WITH ({})", quoted, tables, options(inserts))
        );
        if (const auto comment = comment_for(wanted); !comment.empty()) {
            result.additions.push_back(
                fmt::format("COMMENT ON PUBLICATION {} IS {}", quoted, quote_literal(comment))
            );
        }
        return result;
    }
    std::vector<model::TableName> gone;
    std::vector<model::TableName> fresh;
    std::set<model::TableName> set;
    for (const auto& table : wanted) {
        set.insert(table.name);
    }
    std::ranges::set_difference(now.tables, set, std::back_inserter(gone));
    std::ranges::set_difference(set, now.tables, std::back_inserter(fresh));
    if (!gone.empty()) {
        result.removals.push_back(
            fmt::format("ALTER PUBLICATION {} DROP {}", quoted, table_list(gone))
        );
    }
    if (!fresh.empty()) {
        result.additions.push_back(
            fmt::format("ALTER PUBLICATION {} ADD {}", quoted, table_list(fresh))
        );
    }
    return result;
}

void append(std::vector<std::string>& all, const std::vector<std::string>& more) {
    all.insert(all.end(), more.begin(), more.end());
}

std::string joined(const std::vector<std::string>& statements) {
    std::string text;
    for (const auto& statement : statements) {
        text += statement + "; ";
    }
    return text;
}

std::string with_identity_index(std::string_view sql) {
    std::string filled(sql);
    const std::string_view mark = "{index}";
    filled.replace(filled.find(mark), mark.size(), internal::kIdentityIndex);
    return filled;
}

/// Columns of a table's condition that its old rows do not tell.
constexpr std::string_view kUntold =
    "(SELECT string_agg(quote_ident(a.attname), ', ') FROM pg_depend d JOIN pg_attribute a"
    " ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid"
    " WHERE d.classid = 'pg_publication_rel'::regclass AND d.objid = r.oid"
    " AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid > 0"
    " AND c.relreplident <> 'f' AND NOT EXISTS (SELECT FROM pg_index i"
    " WHERE i.indexrelid = {index} AND a.attnum = ANY (i.indkey)))";

constexpr std::string_view kFromPublication =
    " FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid"
    " JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE p.pubname = $1";

std::string guard_sql() {
    return fmt::format(
        "SELECT n.nspname, c.relname{} AND (NOT {} OR {} IS NOT NULL)",
        kFromPublication,
        with_identity_index(internal::kHasIdentity),
        with_identity_index(kUntold)
    );
}

/// A condition over other columns would make the application's UPDATE fail.
Task<Status> check_conditions(Connection& connection, const std::string& publication) {
    auto sql = fmt::format(
        "SELECT * FROM (SELECT n.nspname, c.relname, {} AS untold{}) AS t"
        " WHERE t.untold IS NOT NULL LIMIT 1",
        with_identity_index(kUntold),
        kFromPublication
    );
    std::vector<Parameter> parameters{Parameter::of_text(publication)};
    QIAO_CO_TRY(const auto rows, co_await connection.query(std::move(sql), std::move(parameters)));
    if (rows.size() == 0) {
        co_return Status{};
    }
    const model::TableName table{std::string(rows.text(0, 0)), std::string(rows.text(0, 1))};
    co_return Error(
        ErrorCode::CaptureTable,
        fmt::format(
            "{}: its condition looks at {}, which the old row does not tell; run: ALTER TABLE {} "
            "REPLICA IDENTITY FULL;",
            table.to_string(),
            rows.text(0, 2),
            drivers::postgres::quote_table(table)
        )
    );
}

}  // namespace

Task<Result<PublicationPlan>> plan_publications(
    Connection& connection, StreamId stream, std::vector<SourceTable> tables
) {
    PublicationPlan plan;
    plan.main = publication_name(stream);
    plan.inserts_only = insert_publication_name(stream);
    PublishedTables identified;
    PublishedTables others;
    for (const auto& table : tables) {
        if (table.refusal) {
            continue;
        }
        const bool none = table.schema.identity == model::Identity::None;
        (none ? others : identified).push_back({table.name(), table.where});
        plan.has_conditions = plan.has_conditions || !table.where.empty();
        if (none) {
            plan.without_identity.push_back(table.name());
        }
    }
    QIAO_CO_TRY(const auto main, co_await read_publication(connection, plan.main, false));
    QIAO_CO_TRY(const auto inserts, co_await read_publication(connection, plan.inserts_only, true));
    const auto first = difference(main, plan.main, identified, false);
    const auto second = difference(inserts, plan.inserts_only, others, true);
    append(plan.statements, first.removals);
    append(plan.statements, second.removals);
    append(plan.statements, first.additions);
    append(plan.statements, second.additions);
    co_return plan;
}

Task<Status> apply_publications(Connection& connection, PublicationPlan plan) {
    if (plan.statements.empty()) {
        co_return Status{};
    }
    const auto sql = joined(plan.statements);
    QIAO_CO_CHECK(co_await connection.execute("BEGIN"));
    auto done = co_await connection.execute(sql);
    if (done && plan.has_conditions) {
        done = co_await check_conditions(connection, plan.main);
    }
    if (connection.alive()) {
        QIAO_CO_CHECK(co_await connection.execute(done ? "COMMIT" : "ROLLBACK"));
    }
    if (!done && done.error().is(ErrorCode::DbPrivilege)) {
        co_return Error(
            ErrorCode::DbPrivilege,
            fmt::format(
                "{}; the tables' owner, with CREATE on the database, can run: {}",
                done.error().detail(),
                sql
            )
        );
    }
    co_return done;
}

Task<Result<std::vector<model::TableName>>> guard_publications(
    Connection& connection, StreamId stream
) {
    const auto name = publication_name(stream);
    std::vector<Parameter> parameters{Parameter::of_text(name)};
    QIAO_CO_TRY(const auto rows, co_await connection.query(guard_sql(), std::move(parameters)));
    std::vector<model::TableName> lost;
    for (size_t row = 0; row < rows.size(); ++row) {
        lost.push_back({std::string(rows.text(row, 0)), std::string(rows.text(row, 1))});
    }
    if (!lost.empty()) {
        auto sql = fmt::format(
            "SET lock_timeout = '3s'; ALTER PUBLICATION {} DROP {}",
            quote_identifier(name),
            table_list(lost)
        );
        QIAO_CO_CHECK(co_await connection.execute(std::move(sql)));
    }
    co_return lost;
}

Task<Status> drop_publications(Connection& connection, StreamId stream) {
    auto sql = fmt::format(
        "DROP PUBLICATION IF EXISTS {}, {}",
        quote_identifier(publication_name(stream)),
        quote_identifier(insert_publication_name(stream))
    );
    co_return co_await connection.execute(std::move(sql));
}

}  // namespace qiao::capture::postgres
