#pragma once

#include "qiao/capture/postgres/lsn.h"
#include "qiao/common/id.h"
#include "qiao/drivers/postgres/connection.h"

#include <optional>
#include <string>
#include <vector>

namespace qiao::capture::postgres {

/// `qiao_` and 12 hexadecimal digits of the stream's id: the slot of a stream, its publication for
/// tables with an identity, and (with `_ins`) the one for tables without.
std::string slot_name(StreamId stream);
std::string publication_name(StreamId stream);
std::string insert_publication_name(StreamId stream);
/// The TEMPORARY slot of a load session; `number` keeps sessions of one stream apart.
std::string load_slot_name(StreamId stream, uint64_t number);
/// Whether a slot or publication is one of ours, of any stream.
bool is_own_name(std::string_view name);

struct SlotInfo {
    std::string name;
    std::string database;
    bool temporary = false;
    bool failover = false;
    std::optional<uint32_t> active_pid;
    Lsn confirmed = 0;       ///< confirmed_flush_lsn: where the server goes on at the earliest
    Lsn restart = 0;         ///< the log is kept from here
    std::string wal_status;  ///< reserved, extended, unreserved, lost
    uint64_t bytes_held = 0;
    std::optional<int64_t> safe_bytes;  ///< may still be written before the slot is lost
    /// Why the server gave it up; empty: it did not.
    std::string invalid;
};

/// Any slot by name, of ours or not.
Task<Result<std::optional<SlotInfo>>> find_slot(
    drivers::postgres::Connection& connection, std::string name
);

/// Our slots of every database of the cluster, for `qiao slots`.
Task<Result<std::vector<SlotInfo>>> list_slots(drivers::postgres::Connection& connection);

/// Makes a permanent slot (failover on 17 and later, unless the server is a standby) and gives the
/// place where it starts. Waits for all transactions that run now. The publications must be there
/// before, because decoding looks them up as of the place decoded.
/// Errors: capture.no_slot, drivers.setting for wal_level, drivers.privilege.
Task<Result<Lsn>> create_slot(drivers::postgres::Connection& connection, std::string name);

/// No error when it is not there. Errors: capture.slot_busy with the pid.
Task<Status> drop_slot(drivers::postgres::Connection& connection, std::string name);

}  // namespace qiao::capture::postgres
