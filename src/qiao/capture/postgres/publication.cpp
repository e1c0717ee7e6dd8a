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

/// Tables that one transaction adds.
constexpr size_t kTablesAtOnce = 500;

struct Publication {
    bool exists = false;
    bool right_kind = false;
    std::set<model::TableName> tables;
    std::set<model::TableName> conditional;
    std::set<model::TableName> altered;  ///< by other hands: they have a list of columns
    std::string comment;                 ///< which conditions we gave it
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
        if (tables.flag(row, 2)) {
            publication.altered.insert(table);
        }
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

/// Whether a published table has the condition that is wanted, and no list of columns.
bool is_right(const Publication& now, const PublishedTable& wanted) {
    if (now.altered.contains(wanted.name)) {
        return false;
    }
    if (wanted.where.empty()) {
        return !now.conditional.contains(wanted.name);
    }
    return now.conditional.contains(wanted.name) &&
           ("\n" + now.comment).contains("\n" + comment_for({wanted}));
}

/// What makes one publication right.
struct Difference {
    std::vector<std::string> removals;  ///< run first, so that a table can move between the two
    std::vector<std::string> changes;
    std::vector<std::string> additions;  ///< of tables that nobody has published so far
};

class Comparison {
public:
    Comparison(std::string name, bool inserts, Publication now, const Publication& other)
        : name_(quote_identifier(name)), inserts_(inserts), now_(std::move(now)), other_(other) {}

    Difference with(const PublishedTables& wanted) const;

private:
    Difference make_anew(const PublishedTables& wanted) const;
    void add_new(PublishedTables tables, Difference& result) const;
    void comment(const PublishedTables& wanted, Difference& result) const;

    std::string name_;
    bool inserts_;
    const Publication now_;
    const Publication& other_;
};

void Comparison::add_new(PublishedTables tables, Difference& result) const {
    for (size_t first = 0; first < tables.size(); first += kTablesAtOnce) {
        const auto last = std::min(first + kTablesAtOnce, tables.size());
        const PublishedTables some(
            std::make_move_iterator(tables.begin() + static_cast<ptrdiff_t>(first)),
            std::make_move_iterator(tables.begin() + static_cast<ptrdiff_t>(last))
        );
        result.additions.push_back(
            fmt::format("ALTER PUBLICATION {} ADD {}", name_, table_list(some))
        );
    }
}

void Comparison::comment(const PublishedTables& wanted, Difference& result) const {
    if (const auto text = comment_for(wanted); text != now_.comment) {
        result.changes.push_back(
            fmt::format("COMMENT ON PUBLICATION {} IS {}", name_, quote_literal(text))
        );
    }
}

Difference Comparison::make_anew(const PublishedTables& wanted) const {
    Difference result;
    if (now_.exists) {
        result.removals.push_back("DROP PUBLICATION " + name_);
    }
    PublishedTables known;
    PublishedTables fresh;
    for (const auto& table : wanted) {
        const bool sent = now_.exists || other_.tables.contains(table.name);
        (sent || known.size() < kTablesAtOnce ? known : fresh).push_back(table);
    }
    const auto tables = known.empty() ? "" : "FOR " + table_list(known) + " ";
    result.changes.push_back(
        fmt::format("CREATE PUBLICATION {} {}WITH ({})", name_, tables, options(inserts_))
    );
    comment(wanted, result);
    add_new(std::move(fresh), result);
    return result;
}

Difference Comparison::with(const PublishedTables& wanted) const {
    if (!now_.exists || !now_.right_kind) {
        return make_anew(wanted);
    }
    Difference result;
    std::set<model::TableName> gone = now_.tables;
    PublishedTables known;
    PublishedTables fresh;
    for (const auto& table : wanted) {
        if (now_.tables.contains(table.name) && is_right(now_, table)) {
            gone.erase(table.name);
        } else {
            const bool sent =
                now_.tables.contains(table.name) || other_.tables.contains(table.name);
            (sent ? known : fresh).push_back(table);
        }
    }
    if (!gone.empty()) {
        const std::vector<model::TableName> list(gone.begin(), gone.end());
        result.removals.push_back(
            fmt::format("ALTER PUBLICATION {} DROP {}", name_, table_list(list))
        );
    }
    if (!known.empty()) {
        result.changes.push_back(
            fmt::format("ALTER PUBLICATION {} ADD {}", name_, table_list(known))
        );
    }
    comment(wanted, result);
    add_new(std::move(fresh), result);
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
    const auto first = Comparison(plan.main, false, main, inserts).with(identified);
    const auto second = Comparison(plan.inserts_only, true, inserts, main).with(others);
    std::vector<std::string> together;
    append(together, first.removals);
    append(together, second.removals);
    append(together, first.changes);
    append(together, second.changes);
    if (!together.empty()) {
        plan.transactions.push_back(std::move(together));
    }
    for (const auto& difference : {first, second}) {
        for (const auto& statement : difference.additions) {
            plan.transactions.push_back({statement});
        }
    }
    co_return plan;
}

std::vector<std::string> all_statements(const PublicationPlan& plan) {
    std::vector<std::string> all;
    for (const auto& transaction : plan.transactions) {
        append(all, transaction);
    }
    return all;
}

Task<Status> apply_publications(Connection& connection, PublicationPlan plan) {
    for (const auto& transaction : plan.transactions) {
        QIAO_CO_CHECK(co_await connection.execute("BEGIN"));
        auto done = co_await connection.execute(joined(transaction));
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
                    joined(all_statements(plan))
                )
            );
        }
        QIAO_CO_CHECK(done);
    }
    co_return Status{};
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
