#include "qiao/capture/postgres/source_setup.h"

#include "qiao/capture/postgres/internal/session_settings.h"

#include <fmt/format.h>

namespace qiao::capture::postgres {
namespace {

using drivers::postgres::Connection;
using drivers::postgres::quote_identifier;
using drivers::postgres::Rows;
using drivers::postgres::Runtime;

bool belongs(std::string_view name, const std::optional<StreamId>& stream) {
    if (!is_own_name(name)) {
        return false;
    }
    const auto base = stream ? slot_name(*stream) : std::string();
    return name.starts_with(base);
}

/// Temporary slots go with their session; another database's slot needs a connection there.
Task<Status> drop_slots(
    Connection& connection, std::optional<StreamId> stream, CleanupReport& report
) {
    QIAO_CO_TRY(const auto slots, co_await list_slots(connection));
    QIAO_CO_TRY(const auto here, co_await connection.query("SELECT current_database()"));
    for (const auto& slot : slots) {
        if (!belongs(slot.name, stream) || slot.temporary) {
            continue;
        }
        if (slot.database != here.text(0, 0)) {
            report.left.push_back(fmt::format("slot {}: of database {}", slot.name, slot.database));
            continue;
        }
        const auto dropped = co_await drop_slot(connection, slot.name);
        if (dropped) {
            report.dropped.push_back("slot " + slot.name);
        } else if (dropped.error().is(ErrorCode::CaptureSlotBusy)) {
            report.left.push_back("slot " + dropped.error().detail());
        } else {
            co_return dropped.error();
        }
    }
    co_return Status{};
}

Task<Status> drop_all_publications(
    Connection& connection, std::optional<StreamId> stream, CleanupReport& report
) {
    QIAO_CO_TRY(
        const auto rows,
        co_await connection.query("SELECT pubname FROM pg_publication ORDER BY pubname")
    );
    for (size_t row = 0; row < rows.size(); ++row) {
        const std::string name(rows.text(row, 0));
        if (belongs(name, stream)) {
            auto sql = "DROP PUBLICATION IF EXISTS " + quote_identifier(name);
            QIAO_CO_CHECK(co_await connection.execute(std::move(sql)));
            report.dropped.push_back("publication " + name);
        }
    }
    co_return Status{};
}

}  // namespace

Task<Result<std::unique_ptr<Connection>>> connect_catalogue(
    Runtime runtime, drivers::DataSourceUrl url, StopSignal& stop
) {
    auto options = internal::catalogue_options();
    co_return co_await Connection::open(runtime, url, std::move(options), stop);
}

Task<Result<SetupReport>> set_up_source(
    Connection& connection, StreamId stream, std::vector<ChosenTable> tables
) {
    SetupReport report;
    QIAO_CO_TRY(auto facts, co_await read_source_tables(connection, std::move(tables)));
    QIAO_CO_CHECK(all_capturable(facts));
    QIAO_CO_TRY(auto plan, co_await plan_publications(connection, stream, std::move(facts)));
    report.statements = all_statements(plan);
    report.without_identity = plan.without_identity;
    QIAO_CO_CHECK(co_await apply_publications(connection, std::move(plan)));
    QIAO_CO_TRY(const auto slot, co_await find_slot(connection, slot_name(stream)));
    if (!slot) {
        QIAO_CO_TRY(const auto lsn, co_await create_slot(connection, slot_name(stream)));
        report.slot_made = lsn != 0;
        co_return report;
    }
    QIAO_CO_TRY(const auto here, co_await connection.query("SELECT current_database()", {}));
    if (slot->database != here.text(0, 0)) {
        co_return Error(
            ErrorCode::CaptureIdentity,
            fmt::format(
                "{} captures database {} of this server: a flow of the same name between the same "
                "nodes; give this one another name, or drop that one",
                slot->name,
                slot->database
            )
        );
    }
    co_return report;
}

Task<Result<CleanupReport>> drop_source_traces(
    Connection& connection, std::optional<StreamId> stream
) {
    CleanupReport report;
    QIAO_CO_CHECK(co_await drop_slots(connection, stream, report));
    QIAO_CO_CHECK(co_await drop_all_publications(connection, stream, report));
    co_return report;
}

}  // namespace qiao::capture::postgres
