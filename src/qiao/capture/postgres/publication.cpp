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

constexpr std::string_view kPublishAll = "insert, update, delete, truncate";
constexpr std::string_view kPublishInserts = "insert, truncate";

struct Publication {
    bool exists = false;
    bool right_kind = false;
    std::set<model::TableName> tables;
};

constexpr std::string_view kPublication =
    "SELECT p.pubinsert AND p.pubtruncate AND p.pubviaroot"
    " AND p.pubupdate = $2::bool AND p.pubdelete = $2::bool AND NOT p.puballtables"
    " FROM pg_publication p WHERE p.pubname = $1";

/// A row filter or column list that somebody put on one of our tables makes it a table to add anew.
constexpr std::string_view kTables =
    "SELECT n.nspname, c.relname, coalesce(to_jsonb(r) ->> 'prqual', '') <> ''"
    " OR coalesce(to_jsonb(r) ->> 'prattrs', '') <> ''"
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
    std::vector<Parameter> parameters{Parameter::of_text(name)};
    QIAO_CO_TRY(
        const auto tables, co_await connection.query(std::string(kTables), std::move(parameters))
    );
    for (size_t row = 0; row < tables.size(); ++row) {
        publication.tables.insert(
            {std::string(tables.text(row, 0)), std::string(tables.text(row, 1))}
        );
        if (tables.flag(row, 2)) {
            publication.right_kind = false;
        }
    }
    co_return publication;
}

std::string options(bool inserts) {
    return fmt::format(
        "publish = '{}', publish_via_partition_root = true", inserts ? kPublishInserts : kPublishAll
    );
}

std::string table_list(const std::vector<model::TableName>& tables) {
    std::string list;
    for (const auto& table : tables) {
        list += (list.empty() ? "TABLE ONLY " : ", ONLY ") + drivers::postgres::quote_table(table);
    }
    return list;
}

struct Difference {
    std::vector<std::string> removals;  ///< run first, so that a table can move between the two
    std::vector<std::string> additions;
};

Difference difference(
    const Publication& now,
    const std::string& name,
    const std::vector<model::TableName>& wanted,
    bool inserts
) {
    Difference result;
    const auto quoted = quote_identifier(name);
    if (now.exists && !now.right_kind) {
        result.removals.push_back(fmt::format("DROP PUBLICATION {}", quoted));
    }
    if (!now.exists || !now.right_kind) {
        const auto tables = wanted.empty() ? "" : "FOR " + table_list(wanted) + " ";
        result.additions.push_back(
            fmt::format("CREATE PUBLICATION {} {}WITH ({})", quoted, tables, options(inserts))
        );
        return result;
    }
    std::vector<model::TableName> gone;
    std::vector<model::TableName> fresh;
    const std::set<model::TableName> set(wanted.begin(), wanted.end());
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

std::string guard_sql() {
    std::string condition(internal::kHasIdentity);
    const std::string_view mark = "{index}";
    condition.replace(condition.find(mark), mark.size(), internal::kIdentityIndex);
    return "SELECT n.nspname, c.relname FROM pg_publication p"
           " JOIN pg_publication_rel r ON r.prpubid = p.oid JOIN pg_class c ON c.oid = r.prrelid"
           " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE p.pubname = $1 AND NOT " +
           condition;
}

}  // namespace

Task<Result<PublicationPlan>> plan_publications(
    Connection& connection, StreamId stream, std::vector<SourceTable> tables
) {
    PublicationPlan plan;
    plan.main = publication_name(stream);
    plan.inserts_only = insert_publication_name(stream);
    std::vector<model::TableName> identified;
    for (const auto& table : tables) {
        if (!table.refusal) {
            const bool none = table.schema.identity == model::Identity::None;
            (none ? plan.without_identity : identified).push_back(table.name());
        }
    }
    QIAO_CO_TRY(const auto main, co_await read_publication(connection, plan.main, false));
    QIAO_CO_TRY(const auto inserts, co_await read_publication(connection, plan.inserts_only, true));
    const auto first = difference(main, plan.main, identified, false);
    const auto second = difference(inserts, plan.inserts_only, plan.without_identity, true);
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
    // Several statements in one message are one transaction.
    const auto sql = joined(plan.statements);
    auto done = co_await connection.execute(sql);
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
