#include "qiao/drivers/postgres/structure/create.h"

#include "qiao/drivers/postgres/internal/own_tables.h"
#include "qiao/drivers/postgres/structure/compare.h"
#include "qiao/drivers/postgres/structure/read.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace qiao::drivers::postgres {
namespace {

/// Statements in one transaction. Each that is made keeps its locks to the transaction's end, and
/// the server has room for some thousands.
constexpr size_t kBatch = 200;

// Bodies of functions may name tables that come later, or never.
constexpr auto kBegin =
    "BEGIN;"
    "SET LOCAL search_path = '';"
    "SET LOCAL client_min_messages = warning;"
    "SET LOCAL check_function_bodies = off;"
    "SET LOCAL default_tablespace = ''";

// An index of a large table may take longer than any statement of apply.
constexpr auto kBeginAfterLoad =
    "SET search_path = '';"
    "SET client_min_messages = warning;"
    "SET default_tablespace = '';"
    "SET statement_timeout = 0";
constexpr auto kEndAfterLoad =
    "RESET search_path; RESET client_min_messages; RESET default_tablespace;"
    "RESET statement_timeout";

// Written with the tables and cleared with their last index, so that another process, or one after
// a crash, knows which tables are ours to complete.
constexpr auto kRemember =
    "INSERT INTO qiao.unfinished_table SELECT * FROM unnest($1::text[], $2::text[])"
    " ON CONFLICT DO NOTHING";
constexpr auto kForget =
    "DELETE FROM qiao.unfinished_table"
    " WHERE (schema_name, table_name) IN (SELECT * FROM unnest($1::text[], $2::text[]))";
constexpr auto kRecall = "SELECT schema_name, table_name FROM qiao.unfinished_table";

std::string label(const StructureStatement& statement) {
    return fmt::format("{} {}", statement.kind, statement.object);
}

/// Whether an object as people read it, quoted where SQL wants it, is this table.
bool is_named(const std::string& object, const model::TableName& table) {
    const auto part = [](std::string_view& rest, const std::string& name) {
        for (const auto& form : {name, quote_identifier(name)}) {
            if (rest.starts_with(form)) {
                rest.remove_prefix(form.size());
                return true;
            }
        }
        return false;
    };
    std::string_view rest = object;
    return part(rest, table.schema) && rest.starts_with('.') &&
           (rest.remove_prefix(1), part(rest, table.name)) && rest.empty();
}

class Creator {
public:
    Creator(Connection& target, const Structure& structure, StructurePhase phase)
        : target_(target), structure_(structure), phase_(phase) {}

    Task<Result<CreateReport>> before_load();
    Task<Result<CreateReport>> after_load();

private:
    std::vector<model::TableName> tables_to_make() const;
    Task<Status> find_existing();
    Task<Status> remember(const model::TableName& table);
    Task<Result<std::set<model::TableName>>> recall();
    Task<Status> recall_made();
    Task<Status> forget_finished();
    Task<Status> make_all();
    Task<Status> complete_all();
    bool is_due(const StructureStatement& statement);
    Task<Result<bool>> run(const StructureStatement& statement);
    Task<Status> next_batch();
    Task<Result<bool>> done_already(const StructureStatement& statement);
    Task<Status> compare_existing();
    Task<Status> lengthen();
    void explain_missing(const TablePair& pair);

    Connection& target_;
    const Structure& structure_;
    StructurePhase phase_;
    std::set<model::TableName> untouched_;
    std::set<model::TableName> unfinished_;  ///< a statement of theirs has failed
    CreateReport report_;
};

/// Tables of the structure, partitions too.
std::vector<model::TableName> Creator::tables_to_make() const {
    std::vector<model::TableName> tables;
    for (const auto& statement : structure_.statements) {
        if (statement.kind == "table") {
            tables.push_back(statement.table);
        }
    }
    return tables;
}

/// Those that are at the target before we begin, but for those that an attempt before has made.
Task<Status> Creator::find_existing() {
    const auto tables = tables_to_make();
    QIAO_CO_TRY(const auto ours, co_await recall());
    QIAO_CO_TRY(const auto shape, co_await structure::read_shape_here(target_, tables));
    for (size_t i = 0; i < tables.size(); ++i) {
        if (shape.tables[i] && !ours.contains(tables[i])) {
            untouched_.insert(tables[i]);
            report_.existing_tables.push_back(tables[i]);
        }
    }
    co_return Status{};
}

/// In the transaction that makes the table.
Task<Status> Creator::remember(const model::TableName& table) {
    auto names = structure::name_arrays({table});
    QIAO_CO_TRY(const auto rows, co_await target_.query(kRemember, std::move(names)));
    co_return Status{};
}

Task<Result<std::set<model::TableName>>> Creator::recall() {
    QIAO_CO_TRY(const auto rows, co_await target_.query(kRecall));
    std::set<model::TableName> ours;
    for (size_t row = 0; row < rows.size(); ++row) {
        ours.insert({std::string(rows.text(row, 0)), std::string(rows.text(row, 1))});
    }
    co_return ours;
}

Task<Status> Creator::recall_made() {
    QIAO_CO_TRY(const auto ours, co_await recall());
    for (const auto& table : tables_to_make()) {
        if (!ours.contains(table)) {
            untouched_.insert(table);
        }
    }
    co_return Status{};
}

Task<Status> Creator::forget_finished() {
    std::vector<model::TableName> finished;
    for (auto& table : tables_to_make()) {
        if (!untouched_.contains(table) && !unfinished_.contains(table)) {
            finished.push_back(std::move(table));
        }
    }
    auto names = structure::name_arrays(finished);
    QIAO_CO_TRY(const auto rows, co_await target_.query(kForget, std::move(names)));
    co_return Status{};
}

Task<Result<bool>> Creator::done_already(const StructureStatement& statement) {
    if (statement.probe.empty()) {
        co_return false;
    }
    QIAO_CO_TRY(const Rows rows, co_await target_.query("SELECT " + statement.probe));
    co_return rows.flag(0, 0);
}

/// Whether the statement is of this phase and of a table that is ours.
bool Creator::is_due(const StructureStatement& statement) {
    if (statement.phase != phase_) {
        return false;
    }
    const bool foreign = !statement.table.name.empty() && untouched_.contains(statement.table);
    if (foreign && statement.kind == "table") {
        report_.existed.push_back(label(statement));
    }
    return !foreign;
}

/// False: there was nothing to do.
Task<Result<bool>> Creator::run(const StructureStatement& statement) {
    QIAO_CO_TRY(const bool done, co_await done_already(statement));
    if (done) {
        report_.existed.push_back(label(statement));
        co_return false;
    }
    QIAO_CO_CHECK(co_await target_.execute(statement.sql));
    report_.made.push_back(label(statement));
    co_return true;
}

Task<Status> Creator::next_batch() {
    QIAO_CO_CHECK(co_await target_.execute("COMMIT"));
    co_return co_await target_.execute(kBegin);
}

/// A refused statement ends it.
Task<Status> Creator::make_all() {
    size_t batch = 0;
    for (const auto& statement : structure_.statements) {
        if (!is_due(statement)) {
            continue;
        }
        const auto made = co_await run(statement);
        if (!made) {
            co_return made.error().within(label(statement));
        }
        if (*made && statement.kind == "table") {
            QIAO_CO_CHECK(co_await remember(statement.table));
        }
        batch += *made ? 1 : 0;
        if (batch == kBatch) {
            QIAO_CO_CHECK(co_await next_batch());
            batch = 0;
        }
    }
    co_return Status{};
}

/// Each statement by itself; what the target refuses is collected.
Task<Status> Creator::complete_all() {
    for (const auto& statement : structure_.statements) {
        if (!is_due(statement)) {
            continue;
        }
        const auto made = co_await run(statement);
        if (!made && !target_.alive()) {
            co_return made.error().within(label(statement));
        }
        if (!made) {
            report_.failed.push_back({label(statement), statement.sql, made.error().to_string()});
            unfinished_.insert(statement.table);
        }
    }
    co_return Status{};
}

/// Tables that were there, and those that are not there now. Keys of tables just made come later.
Task<Status> Creator::compare_existing() {
    std::vector<model::TableName> targets;
    for (const auto& pair : structure_.tables) {
        targets.push_back(pair.target);
    }
    QIAO_CO_TRY(const auto shape, co_await structure::read_shape_here(target_, targets));
    auto& findings = report_.findings;
    findings = compare_shapes(structure_.tables, structure_.shape, shape);
    std::set<std::string> made;
    for (const auto& table : tables_to_make()) {
        if (!untouched_.contains(table)) {
            made.insert(table.to_string());
        }
    }
    std::erase_if(findings, [&made](const Finding& finding) {
        return made.contains(finding.subject);
    });
    for (size_t i = 0; i < targets.size(); ++i) {
        if (!shape.tables[i]) {
            report_.missing_tables.push_back(targets[i]);
            explain_missing(structure_.tables[i]);
        }
    }
    co_return Status{};
}

/// The source's lengths are too short where another encoding counts bytes. What cannot be changed,
/// because something depends on it, stays a finding. Spec: R-47
Task<Status> Creator::lengthen() {
    for (auto& finding : report_.findings) {
        if (!finding.lengthens) {
            continue;
        }
        QIAO_CO_CHECK(co_await target_.execute("SAVEPOINT qiao"));
        const auto done = co_await target_.execute(finding.mend);
        if (done) {
            finding.verdict = Finding::Verdict::Good;
            finding.message_en = "made longer: " + finding.mend;
            finding.message_zh = "已加长:" + finding.mend;
            finding.mend.clear();
        } else if (!target_.alive()) {
            co_return done;
        } else {
            QIAO_CO_CHECK(co_await target_.execute("ROLLBACK TO SAVEPOINT qiao"));
            finding.message_en += "; " + done.error().to_string();
            finding.message_zh += ";" + done.error().to_string();
        }
        QIAO_CO_CHECK(co_await target_.execute("RELEASE SAVEPOINT qiao"));
    }
    co_return Status{};
}

/// A table that we have not made: what it needs is not brought.
void Creator::explain_missing(const TablePair& pair) {
    const auto finding =
        std::ranges::find(report_.findings, pair.target.to_string(), &Finding::subject);
    const auto entry = std::ranges::find_if(structure_.left_out, [&pair](const LeftOut& left) {
        return left.kind == "table" && is_named(left.object, pair.source);
    });
    if (finding != report_.findings.end() && entry != structure_.left_out.end()) {
        finding->message_en = "left out: " + entry->reason_en;
        finding->message_zh = "未带入:" + entry->reason_zh;
        finding->mend.clear();
    }
}

Task<Result<CreateReport>> Creator::before_load() {
    QIAO_CO_CHECK(co_await internal::make_own_tables(target_));
    QIAO_CO_CHECK(co_await target_.execute(kBegin));
    auto status = co_await find_existing();
    if (status) {
        status = co_await make_all();
    }
    if (status) {
        status = co_await compare_existing();
    }
    if (status) {
        status = co_await lengthen();
    }
    if (!status) {
        if (target_.alive()) {
            (void)co_await target_.execute("ROLLBACK");
        }
        co_return std::move(status).error();
    }
    QIAO_CO_CHECK(co_await target_.execute("COMMIT"));
    co_return std::move(report_);
}

Task<Result<CreateReport>> Creator::after_load() {
    QIAO_CO_CHECK(co_await internal::make_own_tables(target_));
    QIAO_CO_CHECK(co_await target_.execute(kBeginAfterLoad));
    auto status = co_await recall_made();
    if (status) {
        status = co_await complete_all();
    }
    if (status) {
        status = co_await forget_finished();
    }
    if (target_.alive()) {
        QIAO_CO_CHECK(co_await target_.execute(kEndAfterLoad));
    }
    QIAO_CO_CHECK(std::move(status));
    co_return std::move(report_);
}

}  // namespace

Task<Result<CreateReport>> create_structure(
    Connection& target, const Structure& structure, StructurePhase phase
) {
    Creator creator(target, structure, phase);
    if (phase == StructurePhase::BeforeLoad) {
        co_return co_await creator.before_load();
    }
    co_return co_await creator.after_load();
}

}  // namespace qiao::drivers::postgres
