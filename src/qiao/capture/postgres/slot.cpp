#include "qiao/capture/postgres/slot.h"

#include <fmt/format.h>

#include <algorithm>

namespace qiao::capture::postgres {
namespace {

using drivers::postgres::Connection;
using drivers::postgres::Parameter;
using drivers::postgres::Rows;

constexpr std::string_view kPrefix = "qiao_";
constexpr size_t kIdDigits = 12;

/// Columns that came with later versions are read through JSON, where they are null before.
constexpr std::string_view kSelect =
    "SELECT s.slot_name, coalesce(s.database, ''), s.temporary, s.active_pid,"
    " s.confirmed_flush_lsn, s.restart_lsn, coalesce(s.wal_status, 'lost'),"
    " greatest(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()"
    " ELSE pg_current_wal_lsn() END, s.restart_lsn), 0)::bigint, s.safe_wal_size,"
    " coalesce((to_jsonb(s) ->> 'failover')::bool, false),"
    " coalesce(to_jsonb(s) ->> 'invalidation_reason',"
    " CASE WHEN (to_jsonb(s) ->> 'conflicting')::bool THEN 'conflict with recovery'"
    " WHEN s.wal_status = 'lost' THEN 'its log was removed (max_slot_wal_keep_size)' END, '')"
    " FROM pg_replication_slots s ";

std::string base_name(StreamId stream) {
    return std::string(kPrefix) + stream.to_string().substr(0, kIdDigits);
}

SlotInfo slot_of(const Rows& rows, size_t row) {
    SlotInfo slot;
    slot.name = rows.text(row, 0);
    slot.database = rows.text(row, 1);
    slot.temporary = rows.flag(row, 2);
    if (!rows.is_null(row, 3)) {
        slot.active_pid = static_cast<uint32_t>(rows.number(row, 3));
    }
    slot.confirmed = parse_lsn(rows.text(row, 4)).value_or(0);
    slot.restart = parse_lsn(rows.text(row, 5)).value_or(0);
    slot.wal_status = rows.text(row, 6);
    slot.bytes_held = rows.number(row, 7);
    if (!rows.is_null(row, 8)) {
        // Negative once the limit is passed; number() is unsigned.
        const bool passed = rows.text(row, 8).starts_with('-');
        slot.safe_bytes = passed ? 0 : static_cast<int64_t>(rows.number(row, 8));
    }
    slot.failover = rows.flag(row, 9);
    slot.invalid = rows.text(row, 10);
    return slot;
}

}  // namespace

std::string slot_name(StreamId stream) { return base_name(stream); }

std::string publication_name(StreamId stream) { return base_name(stream); }

std::string insert_publication_name(StreamId stream) { return base_name(stream) + "_ins"; }

std::string load_slot_name(StreamId stream, uint64_t number) {
    return fmt::format("{}_load_{:08x}", base_name(stream), static_cast<uint32_t>(number));
}

bool is_own_name(std::string_view name) {
    if (!name.starts_with(kPrefix)) {
        return false;
    }
    const auto digits = name.substr(kPrefix.size(), kIdDigits);
    const auto rest = name.substr(std::min(name.size(), kPrefix.size() + kIdDigits));
    const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    return digits.size() == kIdDigits && std::ranges::all_of(digits, is_digit) &&
           (rest.empty() || rest == "_ins" || rest.starts_with("_load_"));
}

Task<Result<std::optional<SlotInfo>>> find_slot(Connection& connection, std::string name) {
    std::vector<Parameter> parameters{Parameter::of_text(name)};
    auto sql = std::string(kSelect) + "WHERE s.slot_name = $1";
    QIAO_CO_TRY(const auto rows, co_await connection.query(std::move(sql), std::move(parameters)));
    co_return rows.size() == 0 ? std::nullopt : std::optional(slot_of(rows, 0));
}

Task<Result<std::vector<SlotInfo>>> list_slots(Connection& connection) {
    auto sql = std::string(kSelect) + "WHERE s.slot_name ~ '^qiao_' ORDER BY 1";
    QIAO_CO_TRY(const auto rows, co_await connection.query(std::move(sql)));
    std::vector<SlotInfo> slots;
    for (size_t row = 0; row < rows.size(); ++row) {
        if (is_own_name(rows.text(row, 0))) {
            slots.push_back(slot_of(rows, row));
        }
    }
    co_return slots;
}

Task<Result<Lsn>> create_slot(Connection& connection, std::string name) {
    constexpr int kFailoverVersion = 170000;
    std::vector<Parameter> parameters{Parameter::of_text(name)};
    const std::string sql = connection.server_version() >= kFailoverVersion
                                ? "SELECT lsn FROM pg_create_logical_replication_slot($1, "
                                  "'pgoutput', false, false, NOT pg_is_in_recovery())"
                                : "SELECT lsn FROM pg_create_logical_replication_slot($1, "
                                  "'pgoutput', false)";
    auto rows = co_await connection.query(sql, std::move(parameters));
    if (!rows) {
        const auto& error = rows.error();
        co_return error.is(ErrorCode::DbResource) ? Error(ErrorCode::CaptureNoSlot, error.detail())
                                                  : error.within(name);
    }
    const auto lsn = parse_lsn(rows->size() == 1 ? rows->text(0, 0) : "");
    if (!lsn) {
        co_return Error(ErrorCode::CaptureProtocol, "place of a new slot");
    }
    co_return *lsn;
}

Task<Status> drop_slot(Connection& connection, std::string name) {
    QIAO_CO_TRY(const auto slot, co_await find_slot(connection, name));
    if (!slot) {
        co_return Status{};
    }
    if (slot->active_pid) {
        co_return Error(
            ErrorCode::CaptureSlotBusy, fmt::format("{} by pid {}", name, *slot->active_pid)
        );
    }
    std::vector<Parameter> parameters{Parameter::of_text(name)};
    auto dropped =
        co_await connection.query("SELECT pg_drop_replication_slot($1)", std::move(parameters));
    if (!dropped) {
        const auto& error = dropped.error();
        co_return error.is(ErrorCode::DbInUse) ? Error(ErrorCode::CaptureSlotBusy, error.detail())
                                               : error.within(name);
    }
    co_return Status{};
}

}  // namespace qiao::capture::postgres
