#include "qiao/drivers/postgres/structure/create.h"

#include "qiao/drivers/postgres/structure/compare.h"
#include "qiao/drivers/postgres/structure/read.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace qiao::drivers::postgres {
namespace {

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

std::string label(const StructureStatement& statement) {
    return fmt::format("{} {}", statement.kind, statement.object);
}

class Creator {
public:
    Creator(
        Connection& target,
        const Structure& structure,
        StructurePhase phase,
        std::vector<model::TableName> leave_alone
    )
        : target_(target),
          structure_(structure),
          phase_(phase),
          untouched_(leave_alone.begin(), leave_alone.end()) {}

    Task<Result<CreateReport>> before_load();
    Task<Result<CreateReport>> after_load();

private:
    Task<Status> find_existing();
    Task<Status> run_all();
    Task<Result<bool>> done_already(const StructureStatement& statement);
    Task<Status> compare_existing();

    Connection& target_;
    const Structure& structure_;
    StructurePhase phase_;
    std::set<model::TableName> untouched_;
    CreateReport report_;
};

/// Tables of the structure, partitions too, that are at the target before we begin.
Task<Status> Creator::find_existing() {
    std::vector<model::TableName> tables;
    for (const auto& statement : structure_.statements) {
        if (statement.kind == "table") {
            tables.push_back(statement.table);
        }
    }
    QIAO_CO_TRY(const auto shape, co_await structure::read_shape_here(target_, tables));
    for (size_t i = 0; i < tables.size(); ++i) {
        if (shape.tables[i]) {
            untouched_.insert(tables[i]);
            report_.existing_tables.push_back(tables[i]);
        }
    }
    co_return Status{};
}

Task<Result<bool>> Creator::done_already(const StructureStatement& statement) {
    if (statement.probe.empty()) {
        co_return false;
    }
    QIAO_CO_TRY(const Rows rows, co_await target_.query("SELECT " + statement.probe));
    co_return rows.flag(0, 0);
}

Task<Status> Creator::run_all() {
    for (const auto& statement : structure_.statements) {
        if (statement.phase != phase_) {
            continue;
        }
        if (!statement.table.name.empty() && untouched_.contains(statement.table)) {
            if (statement.kind == "table") {
                report_.existed.push_back(label(statement));
            }
            continue;
        }
        auto done = co_await done_already(statement);
        if (done && *done) {
            report_.existed.push_back(label(statement));
            continue;
        }
        auto made = done ? co_await target_.execute(statement.sql) : Status(done.error());
        if (made) {
            report_.made.push_back(label(statement));
        } else if (phase_ == StructurePhase::BeforeLoad || !target_.alive()) {
            co_return made.error().within(label(statement));
        } else {
            report_.failed.push_back({label(statement), statement.sql, made.error().to_string()});
        }
    }
    co_return Status{};
}

Task<Status> Creator::compare_existing() {
    std::vector<model::TableName> targets;
    for (const auto& pair : structure_.tables) {
        targets.push_back(pair.target);
    }
    QIAO_CO_TRY(const auto shape, co_await structure::read_shape_here(target_, targets));
    report_.findings = compare_shapes(structure_.tables, structure_.shape, shape);
    co_return Status{};
}

Task<Result<CreateReport>> Creator::before_load() {
    QIAO_CO_CHECK(co_await target_.execute(kBegin));
    auto status = co_await find_existing();
    if (status) {
        status = co_await run_all();
    }
    if (status) {
        status = co_await compare_existing();
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
    QIAO_CO_CHECK(co_await target_.execute(kBeginAfterLoad));
    auto status = co_await run_all();
    if (target_.alive()) {
        QIAO_CO_CHECK(co_await target_.execute(kEndAfterLoad));
    }
    QIAO_CO_CHECK(std::move(status));
    co_return std::move(report_);
}

}  // namespace

Task<Result<CreateReport>> create_structure(
    Connection& target,
    const Structure& structure,
    StructurePhase phase,
    std::vector<model::TableName> leave_alone
) {
    Creator creator(target, structure, phase, std::move(leave_alone));
    if (phase == StructurePhase::BeforeLoad) {
        co_return co_await creator.before_load();
    }
    co_return co_await creator.after_load();
}

}  // namespace qiao::drivers::postgres
